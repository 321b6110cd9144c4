#!/usr/bin/env python3
"""Times ComfyUI's executor on the graphs that `cargo bench -p redraft --bench overhead` wrote into target/bench.

    REFERENCE_ROOT=<a ComfyUI 0.8.0 checkout> python scripts/overhead-reference.py [SECONDS]

Needs ComfyUI's own Python requirements, and ../shared/reference. A graph that takes longer than SECONDS (600) is given up.
"""
import asyncio, importlib.util, json, logging, os, signal, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../shared/reference"))
import refengine as R
import execution, nodes


class Server:
    client_id, last_node_id, last_prompt_id, sockets_metadata = "c", None, None, {}

    def send_sync(self, event, data, sid=None):
        pass


def pack():
    root = os.path.join(R.ROOT, "tests/execution/testing_nodes/testing-pack")
    spec = importlib.util.spec_from_file_location("testing_pack", root + "/__init__.py", submodule_search_locations=[root])
    module = importlib.util.module_from_spec(spec)
    sys.modules["testing_pack"] = module
    spec.loader.exec_module(module)
    return module.NODE_CLASS_MAPPINGS


def timed(what, count, work):
    started = time.perf_counter()
    try:
        result = work()
    except (RecursionError, TimeoutError) as error:
        print(f"  {what:15} {type(error).__name__} after {time.perf_counter() - started:.1f} s", flush=True)
        return None
    seconds = time.perf_counter() - started
    print(f"  {what:15} {seconds * 1000:8.1f} ms   {seconds * 1e6 / count:6.2f} us a node", flush=True)
    return result


def give_up(*_):
    raise TimeoutError


def main(seconds):
    logging.disable(logging.CRITICAL)
    nodes.NODE_CLASS_MAPPINGS.update(pack())
    signal.signal(signal.SIGALRM, give_up)
    for name in ("chain-200", "chain-10000", "fan-2000"):
        with open(os.path.join(HERE, "../target/bench", name + ".json")) as file:
            prompt = json.load(file)
        print(f"{name} ({len(prompt)} nodes):", flush=True)
        executor = execution.PromptExecutor(Server(), cache_type=execution.CacheType.CLASSIC, cache_args={"ram": 16})
        signal.alarm(seconds)
        valid = timed("validate", len(prompt), lambda: asyncio.run(execution.validate_prompt("P", prompt, None)))
        outputs = [id for id, node in prompt.items() if node["class_type"] == "PreviewAny"]
        if valid is not None and not valid[0]:
            reasons = {error["extra_info"].get("exception_type") for node in valid[3].values() for error in node["errors"]}
            print(f"  not valid: {reasons}")
            continue
        for what in ("run", "run again"):
            timed(what, len(prompt), lambda: executor.execute(prompt, "P", {"client_id": "c"}, outputs))
            if executor.success is not True:
                print("  the run failed")
                break
        signal.alarm(0)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
