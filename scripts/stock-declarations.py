#!/usr/bin/env python3
"""Makes engine/data/stock-0.8.0.jsonl from the answer of ComfyUI's GET /object_info.

    scripts/stock-declarations.py object_info.json > engine/data/stock-0.8.0.jsonl

One class a line, its name first, in alphabetical order, in the form of /object_info. Left out is what a reader takes
as given: the order of inputs where it is that of the keys, output names that are the types, empty options, flags that
are off. `v3` marks the classes of ComfyUI's newer declarations, whose errors are worded otherwise.
"""

import json
import sys


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


with open(sys.argv[1], encoding="utf-8") as file:
    classes = json.load(file)
for name in sorted(classes):
    print(json.dumps(compact(name, classes[name]), separators=(",", ":"), ensure_ascii=False))
