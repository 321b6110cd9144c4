#!/usr/bin/env python3
"""Records what ComfyUI answers to wrong prompts, for engine/tests/validation.rs.

    REFERENCE_ROOT=<a ComfyUI 0.8.0 checkout> PYTHONPATH=shared/reference \
        scripts/record-validation.py > engine/tests/validation.json

Each prompt has one output, because ComfyUI counts outputs that do not depend on a node among those that do.
"""

import asyncio
import json
import os
import tempfile

import refengine
import execution

SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}


def empty(**inputs):
    return {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0, **inputs}}


def image(**inputs):
    return {"1": empty(**inputs), "2": SAVE}


def without(node, *names):
    kept = {name: value for name, value in node["inputs"].items() if name not in names}
    return {"class_type": node["class_type"], "inputs": kept}


def sampled(**inputs):
    given = {"seed": 1, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["5", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["4", 0]}
    return {
        "1": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["5", 2]}},
        "2": SAVE,
        "3": {"class_type": "KSampler", "inputs": {**given, **links, **inputs}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
        "5": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["5", 1]}},
    }


def resized(**inputs):
    node = {"input": ["3", 0], "scale_method": "area", **inputs}
    return {"1": {"class_type": "ResizeImageMaskNode", "inputs": node}, "2": SAVE, "3": empty()}


CASES = {
    "too small": image(width=0),
    "too big": image(batch_size=5000, height=20000),
    "missing": {"1": without(empty(), "width", "color"), "2": SAVE},
    "not converted": image(width="abc", height=None, batch_size={"__value__": [1]}, color="1.5"),
    "converted": image(width="  7 ", height=64.9, batch_size=True, color=0.0),
    "bad link": image(width=["3", 0, 1], height=[]),
    "no output image": {"2": without(SAVE, "images")},
    "unknown id from the output": {"2": {"class_type": "SaveImage", "inputs": {"images": ["77", 0], "filename_prefix": "a"}}},
    "slot out of range": {"1": empty(), "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 5], "filename_prefix": "a"}}},
    "unknown id from an inner node": image(width=["77", 0]),
    "number for an id": image(width=[1, 0]),
    "type mismatch": {"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}, "2": SAVE},
    "text into a combo": sampled(sampler_name=["7", 0]) | {"7": {"class_type": "PrimitiveString", "inputs": {"value": "euler"}}},
    "long list and files": sampled(sampler_name="eulr", scheduler="nrmal"),
    "floats": sampled(cfg=100.5, denoise=-0.25, steps=0),
    "tiny float": sampled(denoise=-0.00001),
    "number in a combo": sampled(scheduler=5),
    "mask of no channel": {
        "1": {"class_type": "MaskToImage", "inputs": {"mask": ["3", 0]}},
        "2": SAVE,
        "3": {"class_type": "LoadImageMask", "inputs": {"image": "none.png", "channel": "violet"}},
    },
    "no picture": {"1": {"class_type": "LoadImage", "inputs": {"image": "sub/none.png [output]"}}, "2": SAVE},
    "no latent": {
        "1": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 0]}},
        "2": SAVE,
        "3": {"class_type": "LoadLatent", "inputs": {"latent": "x.latent"}},
        "4": {"class_type": "VAELoader", "inputs": {"vae_name": "x.safetensors"}},
    },
    "combo of the newer kind": {
        "1": {"class_type": "ImageUpscaleWithModel", "inputs": {"image": ["3", 0], "upscale_model": ["4", 0]}},
        "2": SAVE,
        "3": empty(),
        "4": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "x.pth"}},
    },
    "choice without its inputs": resized(resize_type="scale dimensions"),
    "choice with wrong inputs": resized(**{
        "resize_type": "scale dimensions", "resize_type.width": -1, "resize_type.height": 64, "resize_type.crop": "top"}),
    "sockets": {
        "1": {"class_type": "BatchImagesNode", "inputs": {"images.image0": ["3", 0], "images.image2": ["4", 0]}},
        "2": SAVE,
        "3": empty(),
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 8, "height": 64, "batch_size": 1}},
    },
    "unknown class": {"1": {"class_type": "NoSuch", "inputs": {}}, "2": SAVE},
    "no outputs": {"1": empty()},
    "empty": {},
}


def record(prompt):
    # A copy each: validation writes converted values into the prompt.
    ok, error, _, errors = asyncio.run(execution.validate_prompt("id", json.loads(json.dumps(prompt)), None))
    errors = json.loads(json.dumps(errors))
    for entry in errors.values():
        for found in entry["errors"]:
            extra = found["extra_info"]
            if "traceback" in extra:
                extra["traceback"] = []
            config = extra.get("input_config")
            if config and len(config) > 1:
                # A sentence, not a fact.
                config[1].pop("tooltip", None)
    return None if ok else {"error": error, "node_errors": errors}


with tempfile.TemporaryDirectory() as directory:
    for below in ("input", "output", "temp"):
        os.makedirs(os.path.join(directory, below))
    refengine.base(directory)
    recorded = [{"name": name, "prompt": prompt, "response": record(prompt)} for name, prompt in CASES.items()]
print("[\n" + ",\n".join(json.dumps(case) for case in recorded) + "\n]")
