#!/usr/bin/env python3
"""Makes the small files of engine/tests/data/metadata: one of each container that ComfyUI 0.8.0 saves its workflow in.

    python scripts/metadata-samples.py engine/tests/data/metadata

Needs av, numpy, pillow, safetensors and torch. The places of the metadata are those of ComfyUI's save nodes; all files
carry the same prompt and the same workflow.
"""

import json
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

PROMPT = {"1": {"class_type": "ToyEnd", "inputs": {"text": "größe 图 ]]> \"x\"", "seed": 2**64 - 1}}}
WORKFLOW = {"version": 0.4, "nodes": [{"id": 1, "type": "ToyEnd"}], "links": []}
BOTH = {"prompt": json.dumps(PROMPT), "workflow": json.dumps(WORKFLOW)}
PICTURE = Image.fromarray(np.zeros((8, 8, 3), np.uint8))


def exif():
    data = PICTURE.getexif()
    data[0x0110] = "prompt:" + BOTH["prompt"]
    data[0x010F] = "workflow:" + BOTH["workflow"]
    return data


def pictures(to):
    plain, after = PngInfo(), PngInfo()
    for key, text in BOTH.items():
        plain.add_text(key, text)
        after.add(b"comf", key.encode() + b"\0" + text.encode(), after_idat=True)
    PICTURE.save(to / "sample.png", pnginfo=plain)
    other = Image.fromarray(np.full((8, 8, 3), 255, np.uint8))
    PICTURE.save(to / "animated.png", pnginfo=after, save_all=True, append_images=[other], duration=100)
    PICTURE.save(to / "sample.webp", exif=exif())
    PICTURE.save(to / "animated.webp", exif=exif(), save_all=True, append_images=[other], duration=100)
    PICTURE.save(to / "sample.jpg", exif=exif())
    PICTURE.save(to / "comment.jpg", comment=json.dumps({"prompt": PROMPT, "workflow": WORKFLOW}).encode())
    PICTURE.save(to / "sample.avif", exif=exif())
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">'
    data = json.dumps({"prompt": PROMPT, "workflow": WORKFLOW}, indent=2)
    meta = f"  <metadata>\n                <![CDATA[\n            {data}\n                ]]>\n            </metadata>\n"
    (to / "sample.svg").write_text(f'<?xml version="1.0"?>\n{head}\n{meta}<style><![CDATA[a{{}}]]></style></svg>')


def sound(to, name, container, codec, rate):
    out = av.open(str(to / name), "w", format=container)
    for key, text in BOTH.items():
        out.metadata[key] = text
    stream = out.add_stream(codec, rate=rate, layout="mono")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="flt", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
    out.close()


def without_padding(file):
    """Takes the padding off a FLAC file, of which ffmpeg writes 8 KiB."""
    data = file.read_bytes()
    blocks, at, last = [], 4, False
    while not last:
        last, kind, length = data[at] >> 7, data[at] & 127, int.from_bytes(data[at + 1 : at + 4])
        blocks += [data[at : at + 4 + length]] if kind != 1 else []
        at += 4 + length
    blocks = [bytes([block[0] & 127]) + block[1:] for block in blocks]
    blocks[-1] = bytes([blocks[-1][0] | 128]) + blocks[-1][1:]
    file.write_bytes(data[:4] + b"".join(blocks) + data[at:])


def video(to, name, codec, **options):
    out = av.open(str(to / name), "w", **options)
    for key, text in BOTH.items():
        out.metadata[key] = text
    stream = out.add_stream(codec, rate=Fraction(24))
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
    out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
    out.close()


def glb(to):
    text = json.dumps({"asset": {"version": "2.0", "extras": BOTH}}).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", 4, 0x004E4942) + bytes(4)
    (to / "sample.glb").write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)


def main():
    to = Path(sys.argv[1])
    pictures(to)
    sound(to, "sample.flac", "flac", "flac", 44100)
    without_padding(to / "sample.flac")
    sound(to, "sample.opus", "opus", "libopus", 48000)
    sound(to, "sample.mp3", "mp3", "libmp3lame", 44100)
    tags = {"options": {"movflags": "use_metadata_tags"}}
    video(to, "sample.mp4", "libx264", **tags)
    video(to, "sample.mov", "libx264", format="mov", **tags)
    video(to, "sample.webm", "libvpx-vp9")
    glb(to)
    save_file({"latent_tensor": torch.zeros(1)}, to / "sample.latent", metadata=BOTH)


main()
