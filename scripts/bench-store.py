#!/usr/bin/env python3
"""Times what the results of earlier runs save: image2image on a checkpoint of real size, each run a process of its own.

    scripts/bench-store.py [WIDTH]

Everything is made below target/bench, as by scripts/bench.py; the cache directory is a new one.
"""
import json, os, shutil, subprocess, sys, tempfile, time

import bench


def run(path, cache, *more):
    """Seconds and peak memory of a run, and the nodes that it called."""
    command = [bench.REDRAFT, "run", path, "--base-directory", bench.BASE, "--device", "cpu", "--json", *cache, *more]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    called = [event["data"]["node"] for event in map(json.loads, process.stdout) if event["type"] == "executing"]
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, "the run failed"
    return time.monotonic() - started, usage.ru_maxrss / 1e3, called


def main():
    width = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    bench.prepare()
    draft = os.path.join(bench.BASE, "input/draft.png")
    os.remove(draft)
    subprocess.run([bench.REDRAFT, "draft-picture", "--width", str(width), "--height", str(width), draft], check=True)
    path = bench.workflow()
    folder = tempfile.mkdtemp(dir=bench.BASE)
    cache = ["--cache-directory", folder]
    try:
        rows = [
            ("without a store (--no-cache)", run(path, ["--no-cache"])),
            ("first run, the model not seen before", run(path, cache)),
            ("the same again", run(path, cache)),
            ("only the seed changed", run(path, cache, "--set", "16.seed=2")),
            ("only the prompt changed", run(path, cache, "--set", "6.text=a tall clay figure")),
        ]
    finally:
        size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)
        shutil.rmtree(folder)
    whole = rows[1][1][0]
    print(f"{width} x {width}, 3 steps; the store then takes {size / 1e6:.1f} MB")
    for name, (seconds, memory, called) in rows:
        print(f"{name:38} {seconds:7.2f} s  {100 * seconds / whole:5.1f} %  {memory:6.0f} MB  called: {' '.join(called)}")


main()
