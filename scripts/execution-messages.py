#!/usr/bin/env python3
"""Records anew the messages that ComfyUI's executor sends for the prompts of tests/data/execution-messages.json.

    REFERENCE_ROOT=<a ComfyUI 0.8.0 checkout> python scripts/execution-messages.py tests/data/execution-messages.json

Needs ComfyUI's own Python requirements and ../shared/reference. The prompts use the nodes of ComfyUI's testing pack
(tests/execution/testing_nodes), which tests/pack has under the same names. All prompts of a case run one after the other
with one executor, under each policy that the case names; to add a case, write it with "recorded": [{"policies": [...]}].
Messages are kept in a short form; tests/execution.rs has the same.
"""
import asyncio, importlib.util, json, logging, os, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../shared/reference"))
import refengine as R
import execution, nodes

class Ordered(dict):
    """A set that keeps its order, so that a recording is the same each time."""

    def __init__(self, items=()):
        super().__init__((item, None) for item in items)

    def add(self, item):
        self[item] = None


class Server:
    client_id, last_node_id, last_prompt_id, sockets_metadata = "c", None, None, {}

    def __init__(self):
        self.sent = []

    def send_sync(self, event, data, sid=None):
        if isinstance(event, str):
            self.sent.append((event, json.loads(json.dumps(data, default=str))))


def short(event, data):
    if event == "executing":
        return f"executing {data['node']} {data['display_node']}"
    if event == "executed":
        shown = "null" if data["output"] is None else " ".join(sorted(data["output"]))
        return f"executed {data['node']} {data['display_node']} {shown}"
    if event == "execution_cached":
        return "cached " + " ".join(data["nodes"])
    if event == "progress_state":
        running = [(k, v) for k, v in data["nodes"].items() if v["state"] == "running"]
        each = [f"{k}:r:{v['value']:g}/{v['max']:g}:{v['display_node_id']}:{v['parent_node_id'] or '-'}:{v['real_node_id']} "
                for k, v in running]
        return f"state {''.join(each)}finished {len(data['nodes']) - len(running)}"
    if event == "progress":
        return f"progress {data['node']} {data['value']:g}/{data['max']:g}"
    if event == "execution_error":
        # The one text that is the pack's own and not the executor's.
        text = "this node fails on purpose\n" if data["node_type"] == "TestSyncError" else data["exception_message"]
        return (f"error {data['node_id']} {data['node_type']} {data['exception_type']} {text!r} "
                f"executed {' '.join(sorted(data['executed']))}")
    return event


def run(executor, server, prompt, targets):
    server.sent = []
    prompt = json.loads(json.dumps(prompt))
    valid, _, outputs, _ = asyncio.run(execution.validate_prompt("P", prompt, targets))
    assert valid
    execution.set = Ordered
    executor.execute(prompt, "P", {"client_id": "c"}, [id for id in prompt if id in outputs])
    del execution.set
    return [short(*message) for message in server.sent]


def pack():
    root = os.path.join(R.ROOT, "tests/execution/testing_nodes/testing-pack")
    spec = importlib.util.spec_from_file_location("testing_pack", root + "/__init__.py", submodule_search_locations=[root])
    module = importlib.util.module_from_spec(spec)
    sys.modules["testing_pack"] = module
    spec.loader.exec_module(module)
    return module.NODE_CLASS_MAPPINGS


def main(path):
    logging.disable(logging.CRITICAL)
    nodes.NODE_CLASS_MAPPINGS.update(pack())
    base = tempfile.mkdtemp()
    R.base(base)
    for folder in ("input", "output", "temp"):
        os.makedirs(os.path.join(base, folder))
    kinds = {"classic": execution.CacheType.CLASSIC, "lru": execution.CacheType.LRU, "none": execution.CacheType.NONE}
    with open(path) as file:
        cases = json.load(file)
    recorded = []
    for case in cases:
        groups = []
        for policy in [policy for group in case["recorded"] for policy in group["policies"]]:
            kind, _, size = policy.partition(":")
            server = Server()
            executor = execution.PromptExecutor(server, cache_type=kinds[kind], cache_args={"lru": int(size or 0), "ram": 16})
            runs = [run(executor, server, p["prompt"], p.get("targets")) for p in case["prompts"]]
            same = next((group for group in groups if group["runs"] == runs), None)
            if same:
                same["policies"].append(policy)
            else:
                groups.append({"policies": [policy], "runs": runs})
        recorded.append({"name": case["name"], "prompts": case["prompts"], "recorded": groups})
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(written(case) for case in recorded) + "\n]\n")


def written(case):
    """One prompt, and one message, a line."""
    groups = []
    for group in case["recorded"]:
        runs = [",\n    ".join(map(json.dumps, run)) for run in group["runs"]]
        runs = ", ".join(f"[\n    {run}\n   ]" for run in runs)
        groups.append(f'  {{"policies": {json.dumps(group["policies"])}, "runs": [{runs}]}}')
    prompts = ",\n  ".join(map(json.dumps, case["prompts"]))
    return f' {{"name": {json.dumps(case["name"])}, "prompts": [\n  {prompts}\n ], "recorded": [\n' + ",\n".join(groups) + "\n ]}"


main(sys.argv[1])
