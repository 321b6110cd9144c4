#!/usr/bin/env python3
"""Processes that share a store, in numbers: some that are killed, some that run at once.

    scripts/store-stress.py kills [COUNT]          runs until 200 were ended by SIGKILL at random moments
    scripts/store-stress.py processes [N] [RUNS]   8 processes at once, 50 runs each of graphs that overlap

What is there afterwards must be whole, and what is made with it equal to what is made without.
"""
import hashlib, json, os, random, shutil, signal, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REDRAFT = os.path.join(ROOT, "target/release/redraft")
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def prepare():
    base = tempfile.mkdtemp()
    subprocess.run([REDRAFT, "tiny-model", "--base-directory", base], check=True, stderr=subprocess.DEVNULL)
    os.makedirs(os.path.join(base, "input"), exist_ok=True)
    draft = os.path.join(base, "input/draft.png")
    subprocess.run([REDRAFT, "draft-picture", "--width", "128", "--height", "128", draft], check=True)
    link = lambda node, slot=0: [node, slot]
    nodes = {
        "4": ("CheckpointLoaderSimple", dict(ckpt_name="redraft-tiny.safetensors")),
        "13": ("LoadImage", dict(image="draft.png")),
        "12": ("VAEEncode", dict(pixels=link("13"), vae=link("4", 2))),
        "6": ("CLIPTextEncode", dict(text="a red heart", clip=link("4", 1))),
        "7": ("CLIPTextEncode", dict(text="", clip=link("4", 1))),
        "16": ("KSampler", dict(model=link("4"), seed=1, steps=3, cfg=4.0, sampler_name="euler", scheduler="normal",
                                denoise=0.7, positive=link("6"), negative=link("7"), latent_image=link("12"))),
        "8": ("VAEDecode", dict(samples=link("16"), vae=link("4", 2))),
        "9": ("SaveImage", dict(images=link("8"), filename_prefix="x")),
    }
    path = os.path.join(base, "workflow.json")
    with open(path, "w") as file:
        json.dump({i: {"class_type": c, "inputs": v} for i, (c, v) in nodes.items()}, file)
    return base, path


def command(base, path, cache, seed, text, prefix):
    return [REDRAFT, "-q", "run", path, "--base-directory", base, "--device", "cpu", "--set", f"16.seed={seed}", "--set",
            f"6.text={text}", "--set", f"9.filename_prefix={prefix}", "--disable-metadata", *cache]


def picture(base, prefix):
    with open(os.path.join(base, "output", f"{prefix}_00001_.png"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def variants():
    return [(seed, text) for seed in range(4) for text in ("a red heart", "a blue star", "a green circle")]


def expected(base, path):
    found = {}
    for n, (seed, text) in enumerate(variants()):
        subprocess.run(command(base, path, ["--no-cache"], seed, text, f"fresh{n}"), check=True, env=ENV, stdout=subprocess.DEVNULL)
        found[seed, text] = picture(base, f"fresh{n}")
    return found


def results(cache):
    return {os.path.join(at, name) for at, _, names in os.walk(os.path.join(cache, "results")) for name in names}


def check(base, path, cache, want):
    verify = subprocess.run([REDRAFT, "cache", "verify", "--cache-directory", cache], capture_output=True, text=True)
    assert verify.returncode == 0, verify.stdout + verify.stderr
    for n, ((seed, text), picture_of) in enumerate(want.items()):
        prefix = f"after{n}"
        subprocess.run(command(base, path, ["--cache-directory", cache], seed, text, prefix), check=True, env=ENV,
                       stdout=subprocess.DEVNULL)
        assert picture(base, prefix) == picture_of, (seed, text)
    strays = [name for name in results(cache) if not name.endswith(".result")]
    assert not strays, strays
    return verify.stdout.strip()


def kills(base, path, cache, want, count):
    # What a run takes changes with what is kept and how busy the machine is: each that ended by itself tells, and each kill makes
    # the next wait longer, so that some always end.
    started, last, runs, caught = time.monotonic(), 1.0, 0, 0
    while caught < count:
        if runs % 10 == 0:
            subprocess.run([REDRAFT, "cache", "clear", "--cache-directory", cache], check=True)
        before = {name for name in results(cache) if name.endswith(".result")}
        seed, text = random.choice(variants())
        begun = time.monotonic()
        child = subprocess.Popen(command(base, path, ["--cache-directory", cache], seed, text, f"killed{runs}"), env=ENV,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(random.random() * last)
            last = time.monotonic() - begun
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            caught += child.wait() != 0
            last *= 1.2
        runs += 1
        assert before <= results(cache), "something that was complete is lost"
    print(f"{runs} runs in {time.monotonic() - started:.0f} s, {caught} of them killed under way; {check(base, path, cache, want)}; "
          f"all {len(want)} pictures as without a store")


def processes(base, path, cache, want, count, runs):
    def one(worker):
        script = "set -e\n" + "".join(
            " ".join(f"'{part}'" for part in command(base, path, ["--cache-directory", cache], *random.choice(variants()),
                                                     f"p{worker}-{n}")) + " > /dev/null\n" for n in range(runs))
        return subprocess.Popen(["sh", "-c", script], env=ENV, stderr=subprocess.PIPE, text=True)
    started = time.monotonic()
    workers = [one(worker) for worker in range(count)]
    said = [worker.communicate()[1] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers) and not any(said), said
    made = {picture(base, f"p{worker}-{n}") for worker in range(count) for n in range(runs)}
    assert made <= set(want.values())
    print(f"{count} processes, {runs} runs each, {time.monotonic() - started:.0f} s: no error, every picture one of the "
          f"{len(made)} of {len(want)} that there are; {check(base, path, cache, want)}")


def main():
    random.seed(1)
    numbers = [int(number) for number in sys.argv[2:]]
    base, path = prepare()
    cache = os.path.join(base, "cache")
    try:
        want = expected(base, path)
        if sys.argv[1] == "kills":
            kills(base, path, cache, want, *(numbers or [200]))
        else:
            processes(base, path, cache, want, *(numbers + [8, 50][len(numbers):]))
    finally:
        shutil.rmtree(base)


main()
