"""Four Triton servers, one of which stops for a second every ten: what clients
of the frontend wait, with each redundancy and with none.

The models are real (ParM's MLP on Fashion-MNIST and its parity model, made by
parm-train), the answers too; service times are paced. Triton is not told of
anything: parity runs on two parm-workers beside it.
"""

import argparse
import os
import pathlib
import shutil
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import model_servers  # noqa: E402
from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.harness import driver, report  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.served_load import ServedLoad  # noqa: E402

NUM_SERVERS = 4
NUM_PARITY_WORKERS = 2
SERVICE_MS = 20
RATE_QPS = 60  # load 0.3 on the four
DEADLINE_MS = 1000
STALL_EVERY_S = 10
STALL_S = 1
WARM_UP_S = 3
CODE = {"scheme": "tile", "k": 2}
RECIPE = {
    "deployed": ["--arch", "mlp", "--seed", "1"],
    "parity": ["--scheme", CODE["scheme"], "--k", str(CODE["k"]), "--seed", "1"],
}
POLICIES = {
    "none": {"policy": "none"},
    "hedge": {"policy": "hedge"},
    "coded": {"policy": "coded", "code": CODE},
    "hybrid": {"policy": "hybrid", "code": CODE},
}
SCENARIO = f"one of {NUM_SERVERS} Triton servers stopped {STALL_S} s every {STALL_EVERY_S} s"


def manifest(bundle):
    return yaml.safe_load((pathlib.Path(bundle) / "bundle.yaml").read_text())


def write_repository(folder, bundle, seed):
    """A Triton repository with the bundle's model, under names of its own."""
    told = manifest(bundle)
    model = folder / demo_bundles.MODEL
    (model / "1").mkdir(parents=True)
    shutil.copy(pathlib.Path(__file__).parent / "paced_model.py", model / "1" / "model.py")

    def tensor(name, spec):
        return (f'[{{ name: "{name}" data_type: TYPE_{spec["datatype"]} '
                f'dims: {spec["shape"][1:]} }}]')

    parameters = {"file": pathlib.Path(bundle) / told["file"], "service_ms": SERVICE_MS,
                  "seed": seed}
    (model / "config.pbtxt").write_text(
        f'name: "{demo_bundles.MODEL}"\nbackend: "python"\nmax_batch_size: 8\n'
        f'input {tensor("IMAGE", told["inputs"][0])}\n'
        f'output {tensor("SCORES", told["outputs"][0])}\n'
        "instance_group [{ kind: KIND_CPU count: 1 }]\n"
        + "".join(f'parameters [{{ key: "{key}" value: {{ string_value: "{value}" }} }}]\n'
                  for key, value in parameters.items()))
    return folder


def frontend_config(servers, parity_endpoints, bundle, policy):
    return {
        "workers": [{"endpoint": server.http, "max_in_flight": 4,
                     "serves": [{"name": demo_bundles.MODEL, "bundle": bundle}]}
                    for server in servers]
        + [{"endpoint": endpoint} for endpoint in parity_endpoints],
        "models": [{"name": demo_bundles.MODEL, "deadline": f"{DEADLINE_MS}ms",
                    "redundancy": POLICIES[policy]}],
    }


def parity_worker_config(bundle):
    service_us = 1000 * SERVICE_MS * manifest(bundle)["measured"]["relative_cost"]
    return {"bundles": [{"path": bundle, "pace": {"service": f"{service_us:.0f}us",
                                                  "spread": 0.05}}]}


def run_policy(args, paths, servers, policy):
    """The run record's entry of one policy."""
    folder = os.path.join(args.out, policy)
    with ProcessSet(folder) as processes:
        served = ServedLoad(processes, args.bin, folder)
        parity = served.start_workers(
            [parity_worker_config(paths["parity"])] * NUM_PARITY_WORKERS)
        http = served.start_frontend(frontend_config(servers, parity, paths["deployed"], policy))
        print(f"triton example: {policy}: {RATE_QPS} queries/s for {args.seconds} s", flush=True)
        arguments = ["--model", demo_bundles.MODEL, "--data", args.data,
                     "--reference-logits", paths["logits"], "--rate", str(RATE_QPS),
                     "--deadline", f"{DEADLINE_MS}ms", "--seed", str(args.seed),
                     "--name", "triton", "--policy", policy, "--scenario", SCENARIO,
                     "--load", str(RATE_QPS * SERVICE_MS / 1000 / NUM_SERVERS),
                     "--workers", str(NUM_SERVERS)]
        if "code" in POLICIES[policy]:
            arguments += ["--code", f"{CODE['scheme']}:{CODE['k']}:1"]
        served.start_load(http, args.seconds, WARM_UP_S, arguments)
        stall_at = WARM_UP_S + STALL_EVERY_S / 2
        while stall_at + STALL_S < WARM_UP_S + args.seconds:
            served.sleep_until(stall_at)
            servers[0].pause()
            try:
                served.sleep_until(stall_at + STALL_S)
            finally:
                servers[0].resume()
            stall_at += STALL_EVERY_S
        return served.finish()["runs"][0]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=40,
                        help="measured part of each policy's run")
    parser.add_argument("--policies", default=",".join(POLICIES),
                        help="which ones, in this order")
    parser.add_argument("--out", default=str(ROOT / "build/examples/triton"))
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--cache", default=str(ROOT / "build/demo/bundles"))
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.policies = args.policies.split(",")
    unknown = set(args.policies) - set(POLICIES)
    if unknown:
        parser.error(f"--policies: got {', '.join(unknown)}, want of {', '.join(POLICIES)}")
    for name in ("out", "bin", "cache"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    return args


def main():
    args = parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    os.makedirs(args.out)
    paths = demo_bundles.ensure_bundles(args.bin, args.data, args.cache, RECIPE)
    servers = []
    try:
        for index in range(NUM_SERVERS):
            repository = write_repository(pathlib.Path(args.out) / f"repository{index}",
                                          paths["deployed"], index)
            servers.append(model_servers.start_triton(
                repository, pathlib.Path(args.out) / f"triton{index}.log"))
        for server in servers:
            server.wait_ready(demo_bundles.MODEL)
        runs = [run_policy(args, paths, servers, policy) for policy in args.policies]
    finally:
        for server in servers:
            server.stop()
    text = report.table(runs)
    (pathlib.Path(args.out) / "table.txt").write_text(text + "\n")
    print(f"\n{SCENARIO}; {RATE_QPS} queries/s, {SERVICE_MS} ms paced service; parity on "
          f"{NUM_PARITY_WORKERS} parm-workers (coded, hybrid)\n\n{text}\n")
    refused = [run for run in runs if run["refused"]]
    for run in refused:
        print(f"{run['policy']} is refused: {run['refused']}", file=sys.stderr)
    return 3 if refused else 0


if __name__ == "__main__":
    driver.run("triton example", main)
