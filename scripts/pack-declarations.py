#!/usr/bin/env python3
"""Makes engine/data/packs.jsonl: what the nodes of third-party packs declare, of packs that lie below one folder.

    REFERENCE_ROOT=~/ComfyUI unshare -n scripts/pack-declarations.py FOLDER > engine/data/packs.jsonl

FOLDER holds the packs' sources as OWNER+REPOSITORY, at a commit as OWNER+REPOSITORY@COMMIT. Each is loaded by ComfyUI's own loader, in a process of its own, from a copy,
without a network; modules that are not installed have stand-ins, and no program is started. So the packs' code does run: look at it
before.

A line {"pack": ...} names a pack, its address and its licence; the lines behind it are its classes in the form of stock-*.jsonl, with
"folders", the kinds of model folders that combos list. Facts alone are kept: names, types, order, defaults, ranges and choices. Choices
that are files or very many are left out, texts too. Of packs that declare the same class the first of the table stands.
"""

import asyncio
import contextlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import inspect
import io
import json
import math
import multiprocessing
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import types
import urllib.request

TABLE = """
kijai/ComfyUI-KJNodes Kosinkadink/ComfyUI-VideoHelperSuite cubiq/ComfyUI_essentials ltdrdata/ComfyUI-Impact-Pack
ltdrdata/ComfyUI-Impact-Subpack cubiq/ComfyUI_IPAdapter_plus Fannovel16/comfyui_controlnet_aux WASasquatch/was-node-suite-comfyui
pythongosssss/ComfyUI-Custom-Scripts Suzie1/ComfyUI_Comfyroll_CustomNodes yolain/ComfyUI-Easy-Use rgthree/rgthree-comfy
nunchaku-tech/ComfyUI-nunchaku chflame163/ComfyUI_LayerStyle ClownsharkBatwing/RES4LYF jags111/efficiency-nodes-comfyui
TinyTerra/ComfyUI_tinyterraNodes SeargeDP/SeargeSDXL city96/ComfyUI-GGUF Kosinkadink/ComfyUI-Advanced-ControlNet
1038lab/ComfyUI-RMBG ltdrdata/ComfyUI-Inspire-Pack godmt/ComfyUI-List-Utils
Fannovel16/ComfyUI-Frame-Interpolation kijai/ComfyUI-DynamiCrafterWrapper kijai/ComfyUI-MimicMotionWrapper cubiq/ComfyUI_InstantID
lldacing/ComfyUI_PuLID_Flux_ll Gourieff/ComfyUI-ReActor pamparamm/ComfyUI-ppm kijai/ComfyUI-Florence2
kijai/ComfyUI-segment-anything-2 Layer-norm/comfyui-lama-remover Acly/comfyui-inpaint-nodes storyicon/comfyui_segment_anything
pythongosssss/ComfyUI-WD14-Tagger PowerHouseMan/ComfyUI-AdvancedLivePortrait HelloVision/ComfyUI_HelloMeme
lihaoyun6/ComfyUI-FlashVSR_Ultra_Fast ali-vilab/ACE_plus BlenderNeko/ComfyUI_SeeCoder Extraltodeus/ComfyUI-AutomaticCFG
gokayfem/ComfyUI_VLM_nodes StartHua/Comfyui_segformer_b2_clothes lrzjason/Comfyui-In-Context-Lora-Utils palant/image-resize-comfyui
kijai/ComfyUI-WanVideoWrapper kijai/ComfyUI-HunyuanVideoWrapper kijai/ComfyUI-CogVideoXWrapper Lightricks/ComfyUI-LTXVideo
Kosinkadink/ComfyUI-AnimateDiff-Evolved ssitu/ComfyUI_UltimateSDUpscale kijai/ComfyUI-SUPIR twri/sdxl_prompt_styler
jamesWalker55/comfyui-various kijai/ComfyUI-GIMM-VFI kijai/ComfyUI-IC-Light lquesada/ComfyUI-Inpaint-CropAndStitch
omar92/ComfyUI-QualityOfLifeSuit_Omar92 theUpsider/ComfyUI-Logic kijai/ComfyUI-DepthAnythingV2 kijai/ComfyUI-LivePortraitKJ
kijai/ComfyUI-FluxTrainer Acly/comfyui-tooling-nodes chrisgoringe/cg-use-everywhere throttlekitty/SDXLCustomAspectRatio
Smirnov75/ComfyUI-mxToolkit melMass/comfy_mtb mcmonkeyprojects/sd-dynamic-thresholding filliptm/ComfyUI_Fill-Nodes
digitaljohn/comfyui-propost chibiace/ComfyUI-Chibi-Nodes Derfuu/Derfuu_ComfyUI_ModdedNodes balazik/ComfyUI-PuLID-Flux
Jonseed/ComfyUI-Detail-Daemon Ttl/ComfyUi_NNLatentUpscale giriss/comfy-image-saver chflame163/ComfyUI_LayerStyle_Advance
evanspearman/ComfyMath BlenderNeko/ComfyUI_TiledKSampler BlenderNeko/ComfyUI_ADV_CLIP_emb EllangoK/ComfyUI-post-processing-nodes
wolfden/ComfyUi_PromptStylers MinusZoneAI/ComfyUI-Kolors-MZ al-swaiti/ComfyUI-OllamaGemini nullquant/ComfyUI-BrushNet
FizzleDorf/ComfyUI_FizzNodes stavsap/comfyui-ollama willmiao/ComfyUI-Lora-Manager
cubiq/ComfyUI_IPAdapter_plus@6a411dcb2c
""".split()

# Where a repository holds the nodes of a pack below its root.
BELOW = {"ali-vilab/ACE_plus": "workflow/ComfyUI-ACE_Plus"}

# More choices than these are contents of a pack, not a declaration.
MOST_CHOICES = 64
# Longer defaults are texts.
LONGEST_DEFAULT = 60
SECONDS = 300

OPTIONS = {
    "default", "min", "max", "step", "round", "multiline", "dynamicPrompts", "forceInput", "lazy", "rawLink", "control_after_generate",
    "image_upload", "animated_image_upload", "video_upload", "audio_upload", "widgetType", "socketless", "options", "template",
    "multiselect",
}  # fmt: skip
BASIC = {"*", "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
FILE = re.compile(r"\.(safetensors|ckpt|pth|pt|bin|onnx|gguf|sft|png|jpe?g|webp|mp4|ttf|otf|ttc|json|ya?ml|csv|txt|cube)$", re.I)
NOTHING = {"", "none", "[none]", "disabled", "no files found", "undefined", "null"}
# Libraries that load networks, or are not of the version that a pack wants.
LIBRARIES = {"transformers", "diffusers", "ultralytics", "insightface", "onnxruntime", "kornia"}
LICENCES = [
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL-3.0"), ("GNU LESSER GENERAL PUBLIC", "LGPL-3.0"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL-3.0"), ("Apache License", "Apache-2.0"), ("MIT License", "MIT"),
    ("Permission is hereby granted, free of charge", "MIT"), ("BSD 3-Clause", "BSD-3-Clause"),
]  # fmt: skip


def main():
    stock = runpy.run_path(os.path.join(os.path.dirname(__file__), "stock-declarations.py"), run_name="compact")
    folder, seen = os.path.abspath(sys.argv[1]), set()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["HOME"] = temporary
        os.makedirs(os.path.join(temporary, "custom_nodes"))
        start(temporary)
        for pack in TABLE:
            found = of(folder, pack, temporary) if os.path.isdir(os.path.join(folder, pack.replace("/", "+"))) else {}
            print(f"{pack}: {len(found)} classes", file=sys.stderr)
            if not found:
                continue
            root = os.path.join(folder, pack.replace("/", "+"))
            place = pack.partition("@")[0]
            header = {"name": place.split("/")[1], "source": f"https://github.com/{place}", "licence": licence(root)}
            stock["line"]({"pack": header})
            mark_widgets(found)
            for name in sorted(set(found) - seen):
                folders = found[name].pop("folders", None)
                line = stock["compact"](name, found[name])
                stock["line"]({**line, "folders": folders} if folders else line)
            sys.stdout.flush()
            seen |= set(found)


def mark_widgets(found):
    """Marks inputs with a default and of a type that no node gives, or of colours: the pack's editor has a widget for them."""
    import nodes

    given = {ty for kind in nodes.NODE_CLASS_MAPPINGS.values() for ty in map(word, getattr(kind, "RETURN_TYPES", None) or ())}
    given |= {ty for entry in found.values() for ty in entry["output"]}
    for entry in found.values():
        for group in ("required", "optional"):
            for kind, options in entry["input"][group].values():
                colour = str(options.get("default")).startswith("#")
                own = isinstance(kind, str) and "default" in options and kind not in (BASIC if colour else given | BASIC)
                if own and not options.get("forceInput"):
                    options.setdefault("socketless", False)


def of(folder, pack, temporary):
    """The classes of a pack, as a process of its own finds them."""
    source = os.path.join(folder, pack.replace("/", "+"), BELOW.get(pack, ""))
    copy = os.path.join(temporary, "custom_nodes", pack.split("/")[1])
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.png", "*.gif", "*.mp4", "*.webp", "*.jpg"))
    out = os.path.join(temporary, "found.json")
    log = os.path.join(tempfile.gettempdir(), "pack-declarations." + pack.replace("/", "+") + ".log")
    child = multiprocessing.get_context("fork").Process(target=declare, args=(copy, out, log))
    child.start()
    child.join(SECONDS)
    child.kill()
    shutil.rmtree(copy)
    with contextlib.suppress(FileNotFoundError), open(out, encoding="utf-8") as file:
        found = json.load(file)
        os.remove(out)
        return found
    return {}


def licence(root):
    names = [name for name in os.listdir(root) if name.lower().startswith(("licen", "copying"))]
    text = "".join(open(os.path.join(root, name), encoding="utf-8", errors="replace").read() for name in sorted(names))
    return next((short for words, short in LICENCES if words in text), "none named" if not text else "its own")


class Kind(type):
    """The kind of classes that stand for classes of modules that are not installed."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __iter__(cls):
        return iter(())

    def __getitem__(cls, _):
        return cls


class Anything(metaclass=Kind):
    """Stands for whatever a module that is not installed has: it can be called, subclassed, iterated and decorate."""

    def __init__(self, *_, **__):
        pass

    def __init_subclass__(cls, **_):
        pass

    def __call__(self, *arguments, **named):
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) and not named else Anything()

    def __getattr__(self, name):
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        return "99.0.0" if name == "__version__" else Anything()

    def __mro_entries__(self, _):
        return (type("Stranger", (Anything,), {}),)

    __enter__ = __getitem__ = __or__ = __ror__ = __add__ = __truediv__ = lambda self, *_: self
    __exit__ = __setitem__ = __delitem__ = lambda *_: None
    __iter__ = lambda self: iter(())
    __len__ = __index__ = __int__ = lambda self: 0
    __bool__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = lambda *_: False
    __float__ = lambda self: 0.0
    __str__ = lambda self: ""
    __fspath__ = lambda self: "/nowhere"


class StandIn(types.ModuleType):
    __path__ = []
    __version__ = "99.0.0"
    __file__ = "/nowhere"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Anything,), {}) if name[0].isupper() else Anything()


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for every module that a pack imports and nobody else finds."""

    def __init__(self, root):
        self.root = root

    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        inside = frame and frame.f_code.co_filename.startswith(self.root)
        within = isinstance(sys.modules.get(name.rpartition(".")[0]), StandIn)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if inside or within else None

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass


class Libraries(StandIns):
    """Answers for libraries that load networks when they are imported, also where they are installed."""

    def __init__(self):
        super().__init__("")

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in LIBRARIES else None


class Routes:
    """Takes routes and forgets them."""

    def __getattr__(self, _):
        return lambda *_, **__: lambda handler: handler


def start(temporary):
    """Starts ComfyUI without a server, so that each pack finds it loaded."""
    sys.path.insert(0, os.environ["REFERENCE_ROOT"])
    sys.argv = ["main.py", "--cpu", "--base-directory", temporary]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args  # noqa: F401
    import utils.extra_config  # noqa: F401
    import utils.install_util  # noqa: F401
    import folder_paths
    import nodes
    import server

    asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    instance = types.SimpleNamespace(routes=Routes(), app=Anything(), supports=[], loop=Anything(), client_id=None, port=0)
    for name in ("send_sync", "add_routes", "add_on_prompt_handler", "on_prompt_handlers", "prompt_queue", "send", "sockets"):
        setattr(instance, name, Anything())
    server.PromptServer.instance = instance
    mark_files(folder_paths)
    for kind in ("input", "output", "temp", "user", "models"):
        os.makedirs(os.path.join(temporary, kind), exist_ok=True)


def declare(root, out, log):
    """Loads one pack and writes what its classes declare."""
    import nodes

    with open(log, "wb", 0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    silence()
    forgive()
    # Some write beside the program.
    sys.modules["__main__"].__file__ = os.path.join(os.path.dirname(os.path.dirname(root)), "main.py")
    own = set(nodes.NODE_CLASS_MAPPINGS)
    sys.meta_path.append(StandIns(root))
    files = [file for file in os.listdir(root) if file.endswith(".py")]
    single = len(files) == 1 and files != ["__init__.py"]
    root = os.path.join(root, files[0]) if single else root
    asyncio.run(nodes.load_custom_node(root, ignore=own, module_parent="custom_nodes"))
    names = nodes.NODE_DISPLAY_NAME_MAPPINGS
    found = {}
    for name, kind in nodes.NODE_CLASS_MAPPINGS.items():
        if name in own:
            continue
        try:
            found[str(name)] = info(kind, name, names)
        except Exception as error:
            print("left out:", name, repr(error)[:300])
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file)
    sys.stdout.flush()
    os._exit(0)


def mark_files(folder_paths):
    """Lets lists of models hold one mark that names their folder, however a pack goes on with the list."""
    get = folder_paths.get_folder_paths

    def paths(kind):
        with contextlib.suppress(KeyError):
            return get(kind) or [os.path.join(folder_paths.models_dir, kind)]
        return [os.path.join(folder_paths.models_dir, kind)]

    names = folder_paths.get_filename_list

    def listed(kind):
        own = kind in folder_paths.folder_names_and_paths and not any(path.startswith(folder_paths.models_dir) for path in get(kind))
        return names(kind) if own else [f"\0{kind}\0.safetensors"]

    folder_paths.get_filename_list = listed
    folder_paths.get_folder_paths = paths


def silence():
    """No pack starts a program or ends this one."""
    done = types.SimpleNamespace(returncode=0, stdout="", stderr="", wait=lambda *_, **__: 0, communicate=lambda *_, **__: ("", ""))
    for name in ("run", "Popen", "call", "check_call"):
        setattr(subprocess, name, lambda *_, **__: done)
    subprocess.check_output = lambda *_, **__: b""
    os.system = lambda *_: 0


def forgive():
    """What a pack wants of a newer ComfyUI, of a network, of a graphics card or of large libraries has a stand-in."""
    import torch
    from comfy_api.latest import _io

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in LIBRARIES:
            del sys.modules[name]
        elif name.startswith("comfy") and not hasattr(module, "__getattr__"):
            module.__getattr__ = StandIn("comfy").__getattr__
    sys.meta_path.insert(0, Libraries())
    torch.cuda.is_available = lambda: False
    for name in ("get_device_properties", "get_device_name", "get_device_capability", "current_device", "mem_get_info", "_lazy_init"):
        setattr(torch.cuda, name, lambda *_, **__: (8, 0))
    importlib.metadata.version = lambda _: "99.0.0"
    urllib.request.urlopen = lambda *_, **__: Download()
    kinds = [_io.Schema, *(part for part in vars(_io).values() if isinstance(part, type) and hasattr(part, "Input"))]
    for kind in [kinds[0], *(kind.Input for kind in kinds[1:]), *(kind.Output for kind in kinds[1:] if hasattr(kind, "Output"))]:
        lenient(kind)


def lenient(kind):
    """Lets a class be made with arguments that only newer versions have."""
    make = kind.__init__
    with contextlib.suppress(TypeError, ValueError):
        known = inspect.signature(make).parameters
        if not any(part.kind is part.VAR_KEYWORD for part in known.values()):
            kind.__init__ = lambda self, *a, **k: make(self, *a, **{name: value for name, value in k.items() if name in known})


class Download(io.BytesIO):
    """An empty file from a network."""

    def info(self):
        return {}

    headers = {}


def info(kind, name, names):
    """A class's entry in the form of /object_info."""
    folders = {}
    if hasattr(kind, "GET_NODE_INFO_V1"):
        raw = kind.GET_NODE_INFO_V1()
        given, outputs, output_names, lists = raw["input"], raw["output"], raw["output_name"], raw["output_is_list"]
        flags = raw
        title = raw["display_name"] or name
    else:
        given = kind.INPUT_TYPES()
        outputs = getattr(kind, "RETURN_TYPES", None) or ()
        output_names = getattr(kind, "RETURN_NAMES", None) or outputs
        lists = getattr(kind, "OUTPUT_IS_LIST", None) or [False] * len(outputs)
        flags = {flag: bool(getattr(kind, flag.upper(), False)) for flag in ("deprecated", "experimental", "output_node")}
        title = names.get(name) or name
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    outputs = [word(ty) for ty in outputs]
    output_names = [word(n) for n in (output_names if isinstance(output_names, (list, tuple)) else [output_names])]
    # What the pack forgot to name is called by its type.
    output_names = [n if n != "COMBO" else ty for n, ty in zip(output_names + outputs[len(output_names) :], outputs)]
    groups = {}
    for group in ("required", "optional"):
        members = given.get(group) or {}
        known = groups.get("required", {})
        entries = {str(n): entry for n, entry in members.items() if str(n) and str(n) not in known and entry is not None}
        groups[group] = {n: spec(n, entry, folders) for n, entry in entries.items()}
    secrets = (given.get("hidden") or {}) if isinstance(given.get("hidden") or {}, dict) else {}
    groups["hidden"] = {str(n): word(entry[0] if isinstance(entry, (list, tuple)) and entry else entry) for n, entry in secrets.items()}
    return {
        "display_name": str(title),
        "category": str(getattr(kind, "CATEGORY", "") if not hasattr(kind, "GET_NODE_INFO_V1") else flags["category"]),
        "input": groups,
        "input_order": {group: list(members) for group, members in groups.items() if group in given},
        "output": outputs,
        "output_name": output_names,
        "output_is_list": [bool(is_list) for is_list in lists][: len(outputs)],
        **{flag: bool(flags.get(flag)) for flag in ("output_node", "deprecated", "experimental")},
        "folders": folders,
    }


def word(ty):
    """A type as one word: that of a choice is COMBO."""
    return "COMBO" if isinstance(ty, (list, tuple, dict, set)) else str(ty) or "*"


def spec(name, entry, folders):
    """`[type, options]` of an input, and in `folders` what kind of files it lists."""
    entry = entry if isinstance(entry, (list, tuple)) else (entry,)
    kind = entry[0] if entry else "*"
    options = entry[1] if len(entry) > 1 and isinstance(entry[1], dict) else {}
    kept = {key: plain(options[key]) for key in options if key in OPTIONS}
    if not isinstance(kind, str) and hasattr(kind, "__iter__"):
        kind = choices(name, kind, folders)
        kept.pop("options", None)
    elif kind == "COMBO":
        kept["options"] = choices(name, options.get("options") or [], folders)
    kept = {key: value for key, value in kept.items() if value is not None}
    default = kept.get("default")
    of_choice = isinstance(kind, list) or kind == "COMBO"
    listed = kind if isinstance(kind, list) else kept.get("options") or []
    # A text, a mark of a file, or what is none of the choices.
    if isinstance(default, str) and (len(default) > LONGEST_DEFAULT or "\0" in default):
        del kept["default"]
    elif of_choice and "default" in kept and (isinstance(default, list) or listed and default not in listed):
        del kept["default"]
    # The number of a machine's graphics cards.
    if isinstance(kept.get("max"), (int, float)) and kept["max"] < (kept.get("min") or 0):
        del kept["max"]
    return [kind if isinstance(kind, list) else str(kind) or "*", kept]


def choices(name, given, folders):
    """The choices of a combo; none where they are the files of a machine."""
    given = [plain(choice) for choice in given]
    texts = [choice for choice in given if isinstance(choice, str)]
    kinds = [choice.split("\0")[1] for choice in texts if choice.startswith("\0")]
    others = [choice for choice in given if not (isinstance(choice, str) and "\0" in choice) and choice is not None]
    if any("\0" in choice for choice in texts):
        if len(set(kinds)) == 1:
            folders[name] = [kinds[0], *others] if len(others) <= 3 else [kinds[0]]
        return []
    if len(others) > MOST_CHOICES or any(isinstance(choice, (dict, list)) for choice in others):
        return []
    files = [choice for choice in others if isinstance(choice, str) and FILE.search(choice)]
    nothing = all(str(choice).strip().lower() in NOTHING for choice in others)
    return [] if files or nothing else others


def plain(value):
    """A value as JSON has it."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return None if isinstance(value, float) and not math.isfinite(value) else (int(value) if isinstance(value, int) else float(value))
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items() if name not in ("tooltip", "placeholder")}
    return [plain(part) for part in value] if isinstance(value, (list, tuple, set)) else None


if __name__ == "__main__":
    main()
