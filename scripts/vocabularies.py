#!/usr/bin/env python3
"""Makes the vocabularies in nodes/src/text/vocabularies from the crate diffusion-rs-sys, which carries them as C byte arrays.

    scripts/vocabularies.py CRATE.crate        (https://static.crates.io/crates/diffusion-rs-sys/diffusion-rs-sys-0.1.20.crate)

T5's is its tokenizer.json, Qwen's its list of merges; both were published under the Apache licence, version 2.0.
"""
import gzip, json, os, re, sys, tarfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "nodes/src/text/vocabularies")
INSIDE = "/stable-diffusion.cpp/src/tokenizers/vocab/"


def array(archive, name):
    """The bytes of the first array of a header."""
    member = next(member for member in archive.getmembers() if member.name.endswith(INSIDE + name))
    text = archive.extractfile(member).read().decode()
    body = text[text.index("{") + 1:text.index("}")]
    return bytes(int(byte, 16) for byte in re.findall(r"0x[0-9a-fA-F]+", body))


def write(name, content):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as file:
        # No time of writing: the same input gives the same file.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed:
            packed.write(content)
    print(f"{path}: {os.path.getsize(path)} bytes")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    with tarfile.open(sys.argv[1]) as archive:
        t5 = json.loads(array(archive, "t5.hpp"))
        # As T5TokenizerFast of today has them: spaces at the end go, several count as one, and the mark of a word goes before the first
        # word alone.
        precompiled = t5["normalizer"]["normalizers"][0]
        assert precompiled["type"] == "Precompiled"
        t5["normalizer"]["normalizers"] = [
            precompiled, {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]
        t5["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
        write("t5.json.gz", json.dumps(t5, ensure_ascii=False, separators=(",", ":")).encode())
        write("qwen2.merges.gz", array(archive, "qwen_merges.hpp"))


main()
