#!/usr/bin/env python3
"""Times the command as a user meets it: start, opening a checkpoint, a real-size image2image run with its peak memory.

    scripts/bench.py [--reference PYTHON COMFYUI RUN_REFERENCE]

With --reference the same workflow runs through ComfyUI, after ours and in the same session, so that the ratio holds on
a noisy machine too. Everything it needs is made below target/bench (a 2.1 GB checkpoint among it).
"""
import json, os, resource, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REDRAFT = os.path.join(ROOT, "target/release/redraft")
BASE = os.path.join(ROOT, "target/bench")
CHECKPOINT = os.path.join(BASE, "models/checkpoints/v1-5-pruned-emaonly-fp16.safetensors")


def prepare():
    for folder in ("models/checkpoints", "input", "output"):
        os.makedirs(os.path.join(BASE, folder), exist_ok=True)
    if not os.path.exists(CHECKPOINT):
        subprocess.run([REDRAFT, "random-checkpoint", "--size", "sd15", "--seed", "1", CHECKPOINT], check=True)
    draft = os.path.join(BASE, "input/draft.png")
    if not os.path.exists(draft):
        subprocess.run([REDRAFT, "draft-picture", "--width", "256", "--height", "256", draft], check=True)


def workflow():
    """Image2image, 256 x 256, three steps, with everything out of the checkpoint."""
    link = lambda node, slot=0: [node, slot]
    sampler = dict(model=link("4"), seed=1, steps=3, cfg=8.0, sampler_name="euler", scheduler="normal", denoise=0.7,
                   positive=link("6"), negative=link("7"), latent_image=link("12"))
    nodes = {
        "4": ("CheckpointLoaderSimple", dict(ckpt_name=os.path.basename(CHECKPOINT))),
        "13": ("LoadImage", dict(image="draft.png")),
        "12": ("VAEEncode", dict(pixels=link("13"), vae=link("4", 2))),
        "6": ("CLIPTextEncode", dict(text="a small clay figure", clip=link("4", 1))),
        "7": ("CLIPTextEncode", dict(text="text, watermark", clip=link("4", 1))),
        "16": ("KSampler", sampler),
        "8": ("VAEDecode", dict(samples=link("16"), vae=link("4", 2))),
        "9": ("SaveImage", dict(images=link("8"), filename_prefix="bench")),
    }
    path = os.path.join(BASE, "workflow.json")
    with open(path, "w") as file:
        json.dump({i: {"class_type": c, "inputs": v} for i, (c, v) in nodes.items()}, file)
    return path


def run(path):
    """Seconds to the first node, seconds by node, seconds in all."""
    started = time.monotonic()
    command = [REDRAFT, "run", path, "--base-directory", BASE, "--device", "cpu", "--json", "--no-cache"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first, nodes = None, {}
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "executing" and first is None:
            first = time.monotonic() - started
        if event["type"] == "finished":
            nodes[event["data"]["node"]] = event["data"]["seconds"]
    assert process.wait() == 0, "the run failed"
    return first, nodes, time.monotonic() - started


def peak_of_children():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main():
    prepare()
    path = workflow()
    first, nodes, seconds = run(path)
    ours = peak_of_children()
    print(f"process start to first node     {first:6.2f} s")
    print(f"checkpoint of 2.1 GB opened in  {nodes['4'] * 1000:6.1f} ms")
    for node, name in (("6", "first prompt"), ("7", "second prompt"), ("12", "VAE encode"), ("16", "sampling"),
                       ("8", "VAE decode")):
        print(f"{name:31} {nodes[node]:6.2f} s")
    print(f"256 x 256, 3 steps, in all      {seconds:6.1f} s, peak {ours:.2f} GB")
    if "--reference" in sys.argv:
        at = sys.argv.index("--reference")
        python, root, script = sys.argv[at + 1:at + 4]
        with open(path) as file:
            graph = json.load(file)
        graph.pop("9")
        unsaved = os.path.join(BASE, "unsaved.json")
        with open(unsaved, "w") as file:
            json.dump(graph, file)
        started = time.monotonic()
        subprocess.run([python, script, unsaved, BASE, os.path.join(BASE, "reference.safetensors")], check=True,
                       env={**os.environ, "REFERENCE_ROOT": root}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        theirs = time.monotonic() - started
        # The children's peak is the largest so far: it is the reference's if it needs more than we do.
        print(f"ComfyUI, the same workflow      {theirs:6.1f} s, peak {peak_of_children():.2f} GB; "
              f"ours takes {seconds / theirs:.2f} of the time")


if __name__ == "__main__":
    main()
