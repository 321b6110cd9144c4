#!/usr/bin/env python3
"""Makes engine/data/stock-*.jsonl from answers of ComfyUI's GET /object_info.

    scripts/stock-declarations.py 0.8.0.json > engine/data/stock-0.8.0.jsonl
    scripts/stock-declarations.py 0.8.0.json 0.33.0.json > engine/data/stock-0.33.0.jsonl

The last file named is the version that is written, the ones before it are the earlier versions, oldest first: a class that
the latest of them declares alike is left out, and a first line `{"gone":[...]}` names those that are there no more. Alike is
what differs in texts, categories and flags of the editor alone.

One class a line, its name first, in alphabetical order, in the form of /object_info. Left out is what a reader takes
as given: the order of inputs where it is that of the keys, output names that are the types, empty options, flags that
are off. `v3` marks the classes of ComfyUI's newer declarations, whose errors are worded otherwise.

To add a version: start it as `python main.py --cpu`, without files in its folders, save the answer of
http://127.0.0.1:8188/object_info, run the second form with it as the last of all versions, and add a row to VERSIONS in
engine/src/versions.rs.
"""

import json
import sys

# What says nothing of values, slots or links.
OF_THE_EDITOR = {"advanced", "display", "display_name", "hidden", "socketless", "tooltip"}
BESIDE = {"category", "display_name", "deprecated", "experimental", "v3"}


def spec(entry):
    kind, options = entry[0], dict(entry[1]) if len(entry) > 1 else {}
    if options.get("multiselect") is False:
        del options["multiselect"]
    options.pop("tooltip", None)
    if kind == "COMFY_DYNAMICCOMBO_V3":
        options["options"] = [{"key": o["key"], "inputs": groups(o["inputs"])} for o in options["options"]]
    return [kind, options] if options else [kind]


def groups(given):
    return {
        group: {name: entry if group == "hidden" else spec(entry) for name, entry in members.items()}
        for group, members in given.items()
        if members
    }


def compact(name, info):
    out = {"name": name}
    if info.get("display_name") != name:
        out["display_name"] = info["display_name"]
    out["category"] = info["category"]
    out["input"] = groups(info["input"])
    keys = {group: list(members) for group, members in info["input"].items()}
    if info["input_order"] != keys:
        out["input_order"] = info["input_order"]
    out["output"] = info["output"]
    if info["output_name"] != info["output"]:
        out["output_name"] = info["output_name"]
    if any(info["output_is_list"]):
        out["output_is_list"] = info["output_is_list"]
    for flag in ("output_node", "deprecated", "experimental"):
        if info.get(flag):
            out[flag] = True
    if "api_node" in info:
        out["v3"] = True
    return out


def bare(value):
    """Without what is the editor's alone."""
    if isinstance(value, dict):
        return {name: bare(part) for name, part in value.items() if name not in OF_THE_EDITOR}
    return [part for part in map(bare, value) if part != {}] if isinstance(value, list) else value


def meaning(declared):
    """All of it that says something of values, slots or links, and the order of the inputs."""
    inputs = [(group, list(members)) for group, members in declared["input"].items() if group != "hidden"]
    return inputs, declared.get("input_order"), bare({name: part for name, part in declared.items() if name not in BESIDE})


def read(path):
    with open(path, encoding="utf-8") as file:
        return {name: compact(name, info) for name, info in json.load(file).items()}


def line(value):
    print(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def main():
    *earlier, last = map(read, sys.argv[1:])
    before = earlier[-1] if earlier else {}
    if earlier:
        line({"gone": sorted(set(before) - set(last))})
    for name in sorted(last):
        if name not in before or meaning(before[name]) != meaning(last[name]):
            line(last[name])


if __name__ == "__main__":
    main()
