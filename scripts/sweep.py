"""Random sampling graphs through ComfyUI, as cases for `redraft verify`.

REFERENCE_ROOT=<a ComfyUI 0.8.0 checkout> python scripts/sweep.py KIND OUT [--seed N] [--count N] [--tolerance T]
    [--checkpoint NAME]
redraft verify OUT --base-directory ../shared/conformance/base

KIND is ksampler (all samplers and schedules), custom (sampler objects, sigmas and guiders with unusual settings), conditioning,
patches (changed models), sigmas (schedules alone; hold them with --tolerance 0) or lora (random LoRA files of all kinds and
spellings, which go with links to everything else to OUT/base: verify OUT with that as base directory). Needs ComfyUI's Python requirements and
../shared/reference. NAME is a checkpoint of the conformance cases' base directory: sdxl-tiny.safetensors, say. Results are equal in every bit only with the same number of threads on both sides: set OMP_NUM_THREADS.
"""
import argparse, itertools, json, os, pathlib, random, signal, sys

HERE = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("REDRAFT_SHARED", HERE.parent.parent / "shared"))
sys.path.insert(0, str(SHARED / "reference"))

INFO = json.load(open(SHARED / "reference" / "object_info-0.8.0.json"))
SAMPLERS = INFO["KSampler"]["input"]["required"]["sampler_name"][0]
SCHEDULES = INFO["KSampler"]["input"]["required"]["scheduler"][0]
LONG = "high quality, (cute:1.3) clay figure of a small humanoid character with long pink hair, " * 6
PROMPTS = ["a cat", "(red house:1.4), sky, [low]", "", LONG, "text, watermark", "embedding:tinystyle flower " + LONG]
MODEL_SAMPLING = [
    "ModelSamplingDiscrete", "ModelSamplingContinuousEDM", "ModelSamplingContinuousV", "ModelSamplingStableCascade",
    "ModelSamplingSD3", "ModelSamplingAuraFlow", "ModelSamplingFlux", "ModelSamplingLTXV",
]
PATCHES = [
    "RescaleCFG", "RenormCFG", "CFGZeroStar", "CFGNorm", "TCFG", "APG", "Mahiro", "FreSca", "Epsilon Scaling",
    "TemporalScoreRescaling", "VideoLinearCFGGuidance", "VideoTriangleCFGGuidance", "PerpNeg", "SelfAttentionGuidance",
    "PerturbedAttentionGuidance", "FreeU", "FreeU_V2", "HyperTile", "PatchModelAddDownscale", "TomePatchModel",
    "UNetSelfAttentionMultiply", "UNetCrossAttentionMultiply", "UNetTemporalAttentionMultiply",
]
SCHEDULERS = [name for name, info in INFO.items() if info["category"] == "sampling/custom_sampling/schedulers"]
SAMPLER_NODES = [name for name, info in INFO.items() if info["category"] == "sampling/custom_sampling/samplers"]
SAMPLER_NODES = [name for name in SAMPLER_NODES if name != "KSamplerSelect"] + ["SamplerEulerCFGpp"]


class Graph:
    """A prompt that grows node by node. Methods return links."""

    def __init__(self, rng, checkpoint):
        self.rng, self.nodes, self.name = rng, {}, checkpoint
        self.checkpoint = self.add("CheckpointLoaderSimple", ckpt_name=checkpoint)[0]
        self.model = [self.checkpoint, 0]

    def add(self, class_type, **inputs):
        name = str(len(self.nodes) + 1)
        self.nodes[name] = {"class_type": class_type, "inputs": inputs}
        return [name, 0]

    def drawn(self, class_type, **given):
        """A node whose values are drawn from its declaration, but for those that are given."""
        for kind, fields in INFO[class_type]["input"].items():
            for name, spec in fields.items() if kind != "hidden" else ():
                widget = isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "BOOLEAN", "COMBO")
                if name not in given and (kind == "required" or widget):
                    given[name] = self.value(spec)
        return self.add(class_type, **given)

    def value(self, spec):
        kind, limits = spec[0], spec[1] if len(spec) > 1 else {}
        if isinstance(kind, list) or kind == "COMBO":
            return self.rng.choice(kind if isinstance(kind, list) else limits["options"])
        if kind == "BOOLEAN":
            return self.rng.random() < 0.5
        low, high = limits.get("min", 0), limits.get("max", 1)
        default = limits.get("default", low)
        if kind == "INT":
            return int(default if self.rng.random() < 0.4 else min(high, max(low, self.rng.choice([low, low + 1, low + 2, default + 1]))))
        near = self.rng.choice([default, default, low, default * 0.5, default * 1.5, default * 0.9, 0.3, 1.0, 2.0])
        return round(float(min(high, max(low, near))), 3)

    def text(self):
        pick, clip = self.rng.choice, [self.checkpoint, 1]
        if self.name.startswith("sdxl") and pick([False, True]):
            sizes = dict(width=pick([512, 1024, 333]), height=pick([1024, 64]))
            if "refiner" in self.name:
                return self.add("CLIPTextEncodeSDXLRefiner", ascore=pick([6.0, 2.5, 0.0]), text=pick(PROMPTS), clip=clip, **sizes)
            sizes.update(crop_w=pick([0, 100]), crop_h=pick([0, 7]), target_width=pick([1024, 600]), target_height=1024)
            return self.add("CLIPTextEncodeSDXL", text_g=pick(PROMPTS), text_l=pick(PROMPTS), clip=clip, **sizes)
        return self.add("CLIPTextEncode", text=pick(PROMPTS), clip=clip)

    def encoded(self, picture):
        return self.add("VAEEncode", pixels=self.add("LoadImage", image=picture), vae=[self.checkpoint, 2])

    def empty(self, width, height, batch):
        return self.add("EmptyLatentImage", width=width, height=height, batch_size=batch)

    def latent(self):
        pick = self.rng.choice
        kind = pick(["empty", "odd", "encoded", "encoded odd", "batch", "places", "masked"])
        if kind == "empty":
            return self.empty(64, 64, 1)
        if kind == "odd":
            return self.empty(pick([72, 88, 40, 120]), pick([56, 104, 24]), pick([1, 2]))
        if kind == "places":
            return self.add("LatentFromBatch", samples=self.empty(56, 72, 5), batch_index=pick([0, 2, 3]), length=pick([1, 2]))
        latent = self.encoded("draft.png" if kind == "encoded" else "odd-83x61.png")
        if kind == "batch":
            latent = self.add("RepeatLatentBatch", samples=latent, amount=3)
            return self.add("LatentBatchSeedBehavior", samples=latent, seed_behavior=pick(["random", "fixed"]))
        return self.add("SetLatentNoiseMask", samples=latent, mask=self.mask()) if kind == "masked" else latent

    def mask(self):
        kind = self.rng.choice(["file", "composite", "feather"])
        if kind == "file":
            return self.add("LoadImageMask", image="mask.png", channel="red")
        if kind == "feather":
            solid = self.add("SolidMask", value=1.0, width=61, height=83)
            return self.add("FeatherMask", mask=solid, left=10, top=8, right=0, bottom=20)
        below = self.add("SolidMask", value=self.rng.choice([0.0, 0.3]), width=96, height=64)
        above = self.add("SolidMask", value=self.rng.choice([1.0, 0.6]), width=40, height=24)
        return self.add("MaskComposite", destination=below, source=above, x=16, y=8, operation="add")

    def conditioning(self, depth=2):
        pick, result = self.rng.choice, self.text()
        for _ in range(pick([0, 1, 1, 2])):
            result = {
                "area": lambda: self.add("ConditioningSetArea", conditioning=result, width=pick([64, 40]), height=pick([64, 24]),
                                         x=pick([0, 8]), y=pick([0, 8]), strength=pick([1.0, 0.5])),
                "share": lambda: self.add("ConditioningSetAreaPercentage", conditioning=result, width=pick([0.5, 0.37]), height=0.6,
                                          x=pick([0.0, 0.4]), y=0.3, strength=pick([1.0, 0.7])),
                "mask": lambda: self.add("ConditioningSetMask", conditioning=result, mask=self.mask(), strength=pick([1.0, 2.5]),
                                         set_cond_area=pick(["default", "mask bounds"])),
                "range": lambda: self.add("ConditioningSetTimestepRange", conditioning=result, start=pick([0.0, 0.2, 0.5]),
                                          end=pick([1.0, 0.5, 0.8])),
                "strength": lambda: self.add("ConditioningSetAreaStrength", conditioning=result, strength=pick([0.3, 1.5])),
                "combine": lambda: self.add("ConditioningCombine", conditioning_1=result,
                                            conditioning_2=self.conditioning(depth - 1) if depth else self.text()),
                "average": lambda: self.add("ConditioningAverage", conditioning_to=result, conditioning_from=self.text(),
                                            conditioning_to_strength=pick([0.3, 0.5])),
                "concat": lambda: self.add("ConditioningConcat", conditioning_to=result, conditioning_from=self.text()),
                "zero": lambda: self.add("ConditioningZeroOut", conditioning=result),
            }[pick(["area", "share", "mask", "range", "strength", "combine", "average", "concat", "zero"])]()
        return result

    def changed_model(self, name):
        given = {"model": self.model}
        if name == "PerpNeg":
            given["empty_conditioning"] = self.text()
        if name.startswith("ModelSamplingContinuous"):
            given.update(sigma_max=self.rng.choice([120.0, 14.6, 500.0]), sigma_min=self.rng.choice([0.002, 0.03]))
        if "shift" in INFO[name]["input"]["required"]:
            given["shift"] = self.rng.choice([1.0, 3.0, 1.73])
        return self.drawn(name, **given)

    def sigmas(self, model):
        name = self.rng.choice(SCHEDULERS + ["BasicScheduler"] * 6)
        required = INFO[name]["input"]["required"]
        given = {"model": model} if "model" in required else {}
        if "steps" in required:
            steps = [3, 4, 5, 7, 12, 20] if name in ("GITSScheduler", "OptimalStepsScheduler") else [1, 2, 3, 5, 10]
            given["steps"] = self.rng.choice(steps)
        sigmas, then = self.drawn(name, **given), self.rng.random()
        if then < 0.15:
            return self.drawn("SplitSigmas", sigmas=sigmas)
        if then < 0.3:
            return [self.drawn("SplitSigmasDenoise", sigmas=sigmas)[0], self.rng.choice([0, 1])]
        return self.drawn("ExtendIntermediateSigmas", sigmas=sigmas) if then < 0.4 else sigmas

    def ksampler(self, name, schedule, model=None, positive=None):
        pick = self.rng.choice
        steps = pick([1, 2, 3, 5, 20])
        shared = dict(model=model or self.model, positive=positive or self.text(), negative=self.text(), latent_image=self.latent(),
                      cfg=pick([1.0, 0.5, 0.0, 3.5, 7.0]), sampler_name=name, scheduler=schedule, steps=steps)
        seed = pick([0, 7, 2**32 + 7, 2**63 + 11])
        if self.rng.random() < 0.6:
            return self.add("KSampler", seed=seed, denoise=pick([1.0, 1.0, 0.9999, 0.87, 0.5, 0.1, 0.0]), **shared)
        return self.add("KSamplerAdvanced", noise_seed=seed, add_noise=pick(["enable", "disable"]), start_at_step=pick([0, 1, steps - 1]),
                        end_at_step=pick([10000, steps, 1]), return_with_leftover_noise=pick(["enable", "disable"]), **shared)


def ksampler(graph, number):
    graph.ksampler(SAMPLERS[number % len(SAMPLERS)], graph.rng.choice(SCHEDULES))


def conditioning(graph, _):
    graph.ksampler(graph.rng.choice(["euler", "dpmpp_2m", "heun", "euler_cfg_pp"]), "normal", positive=graph.conditioning())


def patches(graph, number):
    names = MODEL_SAMPLING + PATCHES
    model = graph.changed_model(names[number % len(names)])
    graph.ksampler(graph.rng.choice(["euler", "dpmpp_2m", "heun", "uni_pc"]), graph.rng.choice(["normal", "karras", "simple"]), model)


def sigmas(graph, _):
    model = graph.changed_model(graph.rng.choice(MODEL_SAMPLING)) if graph.rng.random() < 0.3 else graph.model
    graph.sigmas(model)


def custom(graph, number):
    pick, name = graph.rng.choice, SAMPLER_NODES[number % len(SAMPLER_NODES)]
    given = {"model": graph.model} if "model" in INFO[name]["input"]["required"] else {}
    if name == "SamplerDPMAdaptative":
        given.update(h_init=pick([0.05, 0.5]), rtol=pick([0.05, 0.2]), atol=pick([0.0078, 0.1]), accept_safety=0.81)
    sampler, levels = graph.drawn(name, **given), graph.sigmas(graph.model)
    guider = pick(["BasicGuider", "CFGGuider", "DualCFGGuider", "PerpNegGuider"])
    required = INFO[guider]["input"]["required"]
    texts = {name: graph.text() for name, spec in required.items() if spec[0] == "CONDITIONING"}
    guide = graph.drawn(guider, model=graph.model, **texts)
    noise = graph.add("RandomNoise", noise_seed=pick([5, 2**50 + 3]))
    graph.add("SamplerCustomAdvanced", noise=noise, guider=guide, sampler=sampler, sigmas=levels, latent_image=graph.latent())


def lora(graph, number):
    import random_lora
    pick, folder = graph.rng.choice, graph.base / "models" / "loras"
    layers = random_lora.Layers.of(str(graph.base / "models" / "checkpoints" / graph.name))
    clip = [graph.checkpoint, 1]
    for at in range(pick([1, 1, 2, 3])):
        file = f"random-{number:04d}-{at}.{pick(['safetensors', 'safetensors', 'safetensors', 'pt'])}"
        random_lora.write(folder / file, graph.rng, layers)
        strengths = [1.0, 1.0, 0.7, -0.5, 0.0, 1.6]
        if graph.rng.random() < 0.2:
            graph.model = graph.add("LoraLoaderModelOnly", model=graph.model, lora_name=file, strength_model=pick(strengths))
            continue
        graph.model = graph.add("LoraLoader", model=graph.model, clip=clip, lora_name=file, strength_model=pick(strengths),
                                strength_clip=pick(strengths))
        clip = [graph.model[0], 1]
        if graph.rng.random() < 0.2:
            graph.model = graph.drawn("UNetSelfAttentionMultiply", model=graph.model)
            clip = graph.drawn("CLIPAttentionMultiply", clip=clip)
    texts = [graph.add("CLIPTextEncode", text=pick(PROMPTS), clip=clip) for _ in range(2)]
    graph.add("KSampler", model=graph.model, seed=7, steps=2, cfg=3.5, sampler_name="euler", scheduler="normal", denoise=1.0,
              positive=texts[0], negative=texts[1], latent_image=graph.empty(64, 64, 1))


def own_base(base, out):
    """A base directory beside the cases, with the same models and inputs, for LoRAs of its own."""
    own = out / "base"
    (own / "models" / "loras").mkdir(parents=True, exist_ok=True)
    for name in ["input", *(f"models/{folder.name}" for folder in (base / "models").iterdir() if folder.name != "loras")]:
        if not (own / name).exists():
            (own / name).symlink_to(base / name)
    return own


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["ksampler", "custom", "conditioning", "patches", "sigmas", "lora"])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--checkpoint", default="sd15-tiny-random.safetensors")
    parser.add_argument("--base", default=str(SHARED / "conformance" / "base"))
    arguments = parser.parse_args()
    sys.argv = sys.argv[:1]  # ComfyUI reads it, too

    import refengine
    import torch
    from safetensors.torch import save_file
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    base = pathlib.Path(arguments.base).resolve()
    base = own_base(base, arguments.out) if arguments.kind == "lora" else base
    refengine.base(str(base))
    refengine.enable_tiny()

    def late(*_):
        raise TimeoutError("a minute is over")

    signal.signal(signal.SIGALRM, late)
    rng, made = random.Random(arguments.seed), 0
    for number in itertools.count():
        if made == arguments.count:
            break
        graph = Graph(rng, arguments.checkpoint)
        graph.base = base
        globals()[arguments.kind](graph, number)
        try:
            signal.alarm(60)
            tensors, _ = refengine.tensors(refengine.run(graph.nodes))
        except Exception as error:  # what ComfyUI refuses is no case
            print(f"{number}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
            continue
        finally:
            signal.alarm(0)
        folder = arguments.out / f"{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prompt.json").write_text(json.dumps(graph.nodes))
        (folder / "case.json").write_text(json.dumps({"tolerance": arguments.tolerance}))
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "expected.safetensors")
        made += 1
    print(f"{made} cases in {arguments.out}")


if __name__ == "__main__":
    main()
