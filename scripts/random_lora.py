"""Random LoRA files of all kinds that ComfyUI reads, in all spellings that it knows for a checkpoint; for sweep.py."""
import functools, math, pathlib

import torch
from safetensors.torch import save_file

KINDS = ["lora", "locon", "loha", "lokr", "glora", "oft", "boft", "diff", "diff_b", "norm", "set"]
UP_DOWN = [
    (".lora_up.weight", ".lora_down.weight"), ("_lora.up.weight", "_lora.down.weight"), (".lora_B.weight", ".lora_A.weight"),
    (".lora.up.weight", ".lora.down.weight"), (".lora_B", ".lora_A"), (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
    (".lora_B.default.weight", ".lora_A.default.weight"),
]


class Layers:
    """The keys under which ComfyUI knows the layers of a checkpoint, by how they begin, and the shapes of their weights."""

    @classmethod
    @functools.cache
    def of(cls, checkpoint):
        return cls(checkpoint)

    def __init__(self, checkpoint):
        import comfy.lora, comfy.sd
        model, clip = comfy.sd.load_checkpoint_guess_config(checkpoint, output_vae=False)[:2]
        keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, comfy.lora.model_lora_keys_unet(model.model, {}))
        weights = {**model.model.state_dict(), **clip.cond_stage_model.state_dict()}
        self.shapes = {key: tuple(weights[target].shape) for key, target in keys.items() if target in weights}
        self.groups = {}
        for key in self.shapes:
            start = next((s for s in ("lora_te1_", "lora_te2_", "lora_te_", "lora_prior_te_", "text_encoder.", "text_encoder_2.",
                                      "text_encoders.", "lycoris_", "unet.", "diffusion_model.") if key.startswith(s)), None)
            if start is None:
                original = ("lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks")
                start = "original" if key.startswith(original) else "kohya" if key.startswith("lora_unet_") else "plain"
            self.groups.setdefault(start, []).append(key)


def write(path: pathlib.Path, rng, layers):
    """A file for some of the layers, in one kind and spelling, or in several."""
    pick = rng.choice
    groups = list(layers.groups) if rng.random() < 0.2 else [pick(list(layers.groups)), pick(list(layers.groups))]
    keys = [key for group in groups for key in layers.groups[group]]
    keys = rng.sample(keys, min(len(keys), pick([3, 20, 60])))
    kinds = KINDS if rng.random() < 0.2 else [pick(KINDS), "lora"]
    dtype, dora = pick([torch.float32, torch.float16, torch.bfloat16]), rng.random() < 0.25
    generator = torch.Generator().manual_seed(rng.getrandbits(40))

    def randn(*shape, by=0.3):
        return torch.randn(shape, generator=generator) * by

    file, names = {}, pick(UP_DOWN)
    for key in keys:
        if rng.random() < 0.1:
            names = pick(UP_DOWN)
        shape = layers.shapes[key]
        made = tensors(pick(kinds), shape, rng, randn, names)
        if dora and len(shape) > 1:
            lengths = [shape[0]] + [1] * (len(shape) - 1) if rng.random() < 0.5 else [1, shape[1]] + [1] * (len(shape) - 2)
            made[".dora_scale"] = randn(*lengths).abs() + 0.5
        if rng.random() < 0.7 or ".oft_blocks" in made:
            made[".alpha"] = torch.tensor(pick([1.0, 4.0, 0.5, 2.7]))
        if rng.random() < 0.03:  # of another shape
            made = {name: torch.cat([tensor, tensor]) if tensor.dim() else tensor for name, tensor in made.items()}
        for name, tensor in made.items():
            file[key + name] = tensor.to(torch.float32 if name == ".alpha" and rng.random() < 0.5 else dtype).contiguous()
    if rng.random() < 0.2:
        file["lora_unet_of_another_model.lora_up.weight"] = randn(4, 2)
    if path.suffix == ".safetensors":
        save_file(file, path)
    else:
        torch.save(file, path)


def factors(n, rng):
    """Two numbers whose product is n."""
    first = rng.choice([d for d in range(1, n + 1) if n % d == 0 and d <= 64])
    return first, n // first


def tensors(kind, shape, rng, randn, names):
    pick, out, rest = rng.choice, shape[0], tuple(shape[1:])
    rank, kernel = pick([1, 2, 4, 7]), rest[1:]
    if kind in ("diff", "diff_b", "norm", "set") or len(shape) < 2:
        bias, plain = (randn(out), randn(*shape, by=0.02))
        if kind == "norm":
            return {".w_norm": plain, ".b_norm": bias * 0.1} if rng.random() < 0.7 else {".w_norm": plain}
        if kind == "diff_b":
            return {".diff": plain, ".diff_b": bias * 0.1}
        return {".set_weight": plain} if kind == "set" else {".diff": plain}
    if kind == "locon" and kernel:
        return {".lora_up.weight": randn(out, rank, 1, 1), ".lora_mid.weight": randn(rank, rank, *kernel),
                ".lora_down.weight": randn(rank, rest[0], 1, 1)}
    if kind == "loha":
        if kernel and rng.random() < 0.5:
            return {f".hada_{name}": tensor for half in "12" for name, tensor in
                    ((f"t{half}", randn(rank, rank, *kernel)), (f"w{half}_a", randn(rank, out)), (f"w{half}_b", randn(rank, rest[0])))}
        inputs = math.prod(rest)
        return {f".hada_w{half}_{side}": tensor for half in "12" for side, tensor in (("a", randn(out, rank)), ("b", randn(rank, inputs)))}
    if kind == "lokr":
        (o1, o2), (i1, i2) = factors(out, rng), factors(rest[0], rng)
        made = {".lokr_w1": randn(o1, i1)} if rng.random() < 0.5 else {".lokr_w1_a": randn(o1, rank), ".lokr_w1_b": randn(rank, i1)}
        way = pick(["whole", "product", "core"] if kernel else ["whole", "product"])
        if way == "whole":
            made[".lokr_w2"] = randn(o2, i2, *kernel)
        elif way == "product":
            made.update({".lokr_w2_a": randn(o2, rank), ".lokr_w2_b": randn(rank, i2 * math.prod(kernel))})
        else:
            made.update({".lokr_t2": randn(rank, rank, *kernel), ".lokr_w2_a": randn(rank, o2), ".lokr_w2_b": randn(rank, i2)})
        return made
    if kind == "glora":
        inputs = math.prod(rest)
        if rng.random() < 0.5:
            return {".a1.weight": randn(rank, inputs), ".a2.weight": randn(inputs, rank), ".b1.weight": randn(rank, inputs),
                    ".b2.weight": randn(out, rank)}
        return {".a1.weight": randn(rest[0], rank), ".a2.weight": randn(rank, rest[0]), ".b1.weight": randn(out, rank),
                ".b2.weight": randn(rank, inputs)}
    if kind == "oft":
        side = pick([d for d in (1, 2, 4, 8, 16, 32) if out % d == 0])
        made = {".oft_blocks": randn(out // side, side, side)}
        return {**made, ".rescale": randn(out, *[1] * len(rest)) + 1} if rng.random() < 0.3 else made
    if kind == "boft" and out % 8 == 0:
        side = pick([2, 4, 8])
        rounds = pick([m for m in (1, 2, 3) if out % (side * 2 ** (m - 1)) == 0])
        made = {".oft_blocks": randn(rounds, out // side, side, side)}
        return {**made, ".rescale": randn(out, *[1] * len(rest)) + 1} if rng.random() < 0.5 else made
    up, down = randn(out, rank, *[1] * len(kernel)), randn(rank, *rest)
    return {names[0]: up, names[1]: down}


def figures(path):
    """What ComfyUI makes of small weights by each kind, for the tests of nodes/src/lora."""
    import random, comfy.lora
    rng, file, generator = random.Random(5), {}, torch.Generator().manual_seed(5)

    def randn(*shape, by=0.3):
        return torch.randn(shape, generator=generator) * by

    for number, kind in enumerate(KINDS * 4):
        shape = rng.choice([(16, 8), (8, 8), (8, 4, 3, 3), (16, 8, 1, 1)])
        made = tensors(kind, shape, rng, randn, UP_DOWN[number % len(UP_DOWN)])
        if number % 3 == 0 and kind not in ("diff", "diff_b", "norm", "set"):
            made[".dora_scale"] = randn(*rng.choice([[shape[0], *[1] * (len(shape) - 1)], [1, shape[1], *[1] * (len(shape) - 2)]])) + 1
        if number % 4 or ".oft_blocks" in made:
            made[".alpha"] = torch.tensor(rng.choice([1.0, 4.0, 0.5]))
        weight, strength = randn(*shape, by=1.0), rng.choice([1.0, 0.7, -0.5])
        loaded = comfy.lora.load_lora({f"x{name}": tensor for name, tensor in made.items()}, {"x": "x.weight"}, log_missing=False)
        expected = comfy.lora.calculate_weight([(strength, loaded["x.weight"], 1.0, None, None)], weight.clone(), "x.weight")
        if expected.equal(weight):
            continue
        name = f"{number}-{kind}"
        file |= {f"{name}/weight": weight, f"{name}/expected": expected, f"{name}/strength": torch.tensor(strength, dtype=torch.float64)}
        file |= {f"{name}/x{key}": tensor for key, tensor in made.items()}
    save_file({name: tensor.contiguous() for name, tensor in file.items()}, path)


def spellings(checkpoints):
    """How many keys ComfyUI knows for each checkpoint, and a sum over what they stand for, for the same tests."""
    import comfy.lora, comfy.sd
    for checkpoint in checkpoints:
        model, clip = comfy.sd.load_checkpoint_guess_config(checkpoint, output_vae=False)[:2]
        keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, comfy.lora.model_lora_keys_unet(model.model, {}))
        weights = {**model.model.state_dict(), **clip.cond_stage_model.state_dict()}
        # Stable Diffusion 1.x files have no projection; ComfyUI's encoder has one that does nothing.
        lines = [f"{key}={target}" for key, target in keys.items() if target in weights and not (
            target == "clip_l.transformer.text_projection.weight" and "sd15" in checkpoint)]
        print(pathlib.Path(checkpoint).name, len(lines), hex(sum(map(fnv, lines)) % 2**64))


def fnv(text):
    """FNV-1a, 64 bits."""
    result = 0xcbf29ce484222325
    for byte in text.encode():
        result = (result ^ byte) * 0x100000001b3 % 2**64
    return result


if __name__ == "__main__":
    import os, sys
    SHARED = pathlib.Path(os.environ.get("REDRAFT_SHARED", pathlib.Path(__file__).resolve().parent.parent.parent / "shared"))
    sys.path.insert(0, str(SHARED / "reference"))
    arguments, sys.argv = sys.argv[1:], sys.argv[:1]
    import refengine
    refengine.enable_tiny()
    figures(arguments[0])
    spellings(arguments[1:])
