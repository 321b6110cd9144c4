#!/usr/bin/env python3
"""Makes docs/gallery.md and its pictures: image2image step by step, and the documentation's workflows, on the tiny model.

    scripts/gallery.py [DOCUMENTATION]

DOCUMENTATION is a folder of the documentation's workflows (NAME.workflow.json); without it only the rows of image2image are made. Needs
Pillow, and `redraft` in target/release.
"""
import json, os, subprocess, sys, tempfile
from PIL import Image, ImageDraw

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REDRAFT = os.path.join(ROOT, "target/release/redraft")
SIDE = 128
PROMPT = "a red heart on a light blue background"
KSAMPLER = os.path.join(ROOT, "workflows/SD1.5_image2image_KSampler.json")
ADVANCED = os.path.join(ROOT, "workflows/SD1.5_image2image_KSampler_(Advanced).json")
SIZE = {f"5.{side}": SIDE for side in ("width", "height")}
# Workflow, what is set besides size and negative prompt (node 7, always empty).
DOCUMENTED = [
    ("begin-with__readable-nodes__Stable_Diffusion_1.5", {"6.text": "a yellow star on a blue background", **SIZE}),
    ("begin-with__saving-and-loading-workflows__Stable_Diffusion_1.5", {"6.text": "a green ring on a white background", **SIZE}),
    ("begin-with__wireless-nodes__Set_Get_image2image", {"6.text": "a red triangle on a light blue background"}),
    ("basic-workflows__sd15-basics__SD1.5_text2image", {"6.text": "a pink heart on a black background", **SIZE}),
    ("basic-workflows__sd15-text2image__SD1.5_text2image", {"6.text": "a purple cross on a yellow background", **SIZE}),
    ("basic-workflows__sd15-text2image__SD1.5_text2image_vae-ft-mse-840000", {"6.text": "an orange diamond on a white background", **SIZE}),
    ("basic-workflows__sd15-basics__SD1.5_image2image", {"6.text": "a red square on a green background"}),
    ("basic-workflows__sd15-basics__SD1.5_inpainting", {"6.text": "a yellow circle on a grey background"}),
    ("basic-workflows__sd15-image2image__SD1.5_image2image_KSampler", {"6.text": PROMPT}),
    ("basic-workflows__sd15-image2image__SD1.5_image2image_KSampler_(Advanced)", {"6.text": PROMPT}),
    ("basic-workflows__ksampler-advanced__SD1.5_KSampler_(Advanced)-add_noise", {"6.text": "a blue circle on a white background", **SIZE}),
    ("basic-workflows__ksampler-advanced__SD1.5_KSampler_(Advanced)-divide", {"6.text": "a blue circle on a white background", **SIZE}),
    ("basic-workflows__ksampler-advanced__SD1.5_KSampler_(Advanced)-Prompt_Editing",
     {"6.text": "a red circle on a white background", "17.text": "a red star on a white background", **SIZE}),
    ("basic-workflows__sd15-lora__SD1.5_lora", {"6.text": "a red heart on a light blue background", **SIZE}),
    ("ai-capabilities__region-limited-generation__Conditioning_(Set_Mask)",
     {"6.text": "a yellow star on a blue background", "13.text": "a red heart on a blue background", "17.text": "a blue background", **SIZE}),
]


class Base:
    """A base directory with the tiny model and drafts under every name that workflows want."""

    def __init__(self, folder):
        self.folder = folder
        self.inputs = os.path.join(folder, "input")
        os.makedirs(self.inputs)
        self.redraft("tiny-model")
        draft = os.path.join(self.inputs, "draft.png")
        subprocess.run([REDRAFT, "draft-picture", "--width", str(SIDE), "--height", str(SIDE), draft], check=True)
        for name, left in (("banana (2).png", 0), ("apple (2).png", SIDE // 2)):
            mask = Image.new("RGB", (SIDE, SIDE))
            ImageDraw.Draw(mask).rectangle([left, 0, left + SIDE // 2 - 1, SIDE - 1], fill="white")
            mask.save(os.path.join(self.inputs, name))
        hole = Image.open(draft).convert("RGBA")
        ImageDraw.Draw(hole).ellipse([76, 16, 118, 58], fill=(0, 0, 0, 0))
        hole.save(os.path.join(self.inputs, "hole.png"))

    def redraft(self, command, *arguments):
        done = subprocess.run([REDRAFT, command, *arguments, "--base-directory", self.folder], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{arguments}: {done.stderr}")
        return done.stdout.splitlines()

    def run(self, workflow, sets, picture="draft.png"):
        """The pictures that a workflow makes."""
        sets = [f"--set={where}={what}" for where, what in {"7.text": "", **sets}.items()]
        paths = self.redraft("run", workflow, "--device=cpu", f"--substitute=*.png*={picture}", *sets)
        return [Image.open(os.path.join(self.folder, path)).convert("RGB") for path in paths]


def row(name, pictures):
    """Saves pictures side by side, each under its label."""
    sheet = Image.new("RGB", (len(pictures) * (SIDE + 4), SIDE + 16), "white")
    for i, (label, picture) in enumerate(pictures):
        sheet.paste(picture.resize((SIDE, SIDE)), (i * (SIDE + 4), 16))
        ImageDraw.Draw(sheet).text((i * (SIDE + 4) + 2, 2), label, fill="black")
    sheet.quantize(200).save(os.path.join(ROOT, "docs/images", name), optimize=True)


def text2image(folder):
    """The same prompt, seed and steps without a draft."""
    graph = json.loads(subprocess.run([REDRAFT, "convert", KSAMPLER], capture_output=True, text=True, check=True).stdout)
    graph["12"] = {"class_type": "EmptyLatentImage", "inputs": {"width": SIDE, "height": SIDE, "batch_size": 1}}
    path = os.path.join(folder, "text2image.json")
    with open(path, "w") as file:
        json.dump(graph, file)
    return path


def main():
    with tempfile.TemporaryDirectory() as folder:
        base = Base(os.path.join(folder, "base"))
        draft = Image.open(os.path.join(base.inputs, "draft.png")).convert("RGB")
        prompt = {"6.text": PROMPT}
        steps = [(f"start {n} of 20", base.run(ADVANCED, {**prompt, "11.start_at_step": n})[0]) for n in (20, 9, 6, 4, 1, 0)]
        row("gallery-start.png", [("draft", draft), *steps])
        levels = [(f"denoise {d}", base.run(KSAMPLER, {**prompt, "16.denoise": d})[0]) for d in (0.1, 0.3, 0.5, 0.7, 0.85, 1.0)]
        row("gallery-denoise.png", [("draft", draft), *levels])
        empty = base.run(text2image(folder), {**prompt, "16.denoise": 1.0})[0]
        row("gallery-text2image.png", [("text2image", empty), ("image2image 1.0", levels[-1][1])])
        if len(sys.argv) < 2:
            return
        made = []
        for name, sets in DOCUMENTED:
            picture = "hole.png" if "inpainting" in name else "draft.png"
            file = os.path.join(sys.argv[1], f"{name}.workflow.json")
            made += [(name.split("__")[-1][-22:], picture) for picture in base.run(file, sets, picture)]
        for start in range(0, len(made), 7):
            row(f"gallery-documentation-{start // 7 + 1}.png", made[start:start + 7])


if __name__ == "__main__":
    main()
