"""The demo behind scripts/demo.sh: nine paced workers, one frontend, one load,
twice: without redundancy, then coded.

Real models answer real images; only the service time is paced (20 ms, as an
accelerator would take; the parity model's longer by what it costs). One job in a hundred is slowed tenfold, and one worker
is killed in the middle and comes back two seconds later on the same port.
"""

import argparse
import os
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.harness import driver  # noqa: E402
from experiments.harness import report  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402
from experiments.harness.served_load import ServedLoad  # noqa: E402

MODEL = demo_bundles.MODEL
NUM_WORKERS = 9
NUM_PARITY_WORKERS = 3
# The most accurate one for this model (experiments/accuracy).
SCHEME = "tile"
K = 2
LOAD = 0.2
SERVICE_MS = 20
SPREAD = 0.05
DEADLINE_MS = 500
SLOW_PROBABILITY = 0.01
SLOW_FACTOR = 10
RESTART_AFTER_S = 2
WARM_UP_S = 3
RATE_QPS = LOAD * NUM_WORKERS / (SERVICE_MS / 1000)
SCENARIO = (f"{SLOW_PROBABILITY:.0%} of jobs slowed x{SLOW_FACTOR}, "
            f"one worker killed and restarted")
RECIPE = {
    "deployed": ["--arch", "mlp", "--seed", "1"],
    "parity": ["--scheme", SCHEME, "--k", str(K), "--seed", "1"],
}


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def relative_cost(bundle):
    """Measured service time of a bundle over the deployed model's."""
    path = os.path.join(bundle, "bundle.yaml")
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)["measured"]["relative_cost"]


def worker_config(bundle, cost, seed):
    return {
        "bundles": [{
            "path": bundle,
            # A dearer model takes longer.
            "pace": {"service": f"{1000 * SERVICE_MS * cost:.0f}us",
                     "spread": SPREAD},
        }],
        "faults": {
            "seed": seed,
            "events": [{"slow_jobs": {"probability": SLOW_PROBABILITY,
                                      "factor": SLOW_FACTOR}}],
        },
    }


def frontend_config(endpoints, policy):
    redundancy = {"policy": policy}
    if policy == "coded":
        redundancy["code"] = {"scheme": SCHEME, "k": K, "r": 1}
    return {
        "workers": [{"endpoint": endpoint} for endpoint in endpoints],
        "models": [{
            "name": MODEL,
            "deadline": f"{DEADLINE_MS}ms",
            "redundancy": redundancy,
        }],
    }


class Demo:
    def __init__(self, args, paths):
        self._args = args
        self._paths = paths
        self.parity_cost = relative_cost(paths["parity"])

    def _worker_config(self, policy, index):
        """The last workers of `coded` serve the parity model."""
        parity = (policy == "coded" and
                  index >= NUM_WORKERS - NUM_PARITY_WORKERS)
        return worker_config(self._paths["parity" if parity else "deployed"],
                             self.parity_cost if parity else 1,
                             self._args.seed)

    def run(self, policy):
        """Runs one policy; its run record."""
        folder = os.path.join(self._args.out, policy)
        with ProcessSet(folder) as processes:
            served = ServedLoad(processes, self._args.bin, folder)
            return self._run_with(processes, served, policy)

    def _run_with(self, processes, served, policy):
        endpoints = served.start_workers(
            [self._worker_config(policy, index)
             for index in range(NUM_WORKERS)])
        http = served.start_frontend(frontend_config(endpoints, policy))
        print(f"demo: {policy}: {RATE_QPS:.1f} queries/s for "
              f"{self._args.seconds} s", flush=True)
        served.start_load(http, self._args.seconds, WARM_UP_S,
                          self._load_arguments(policy))
        middle_s = WARM_UP_S + self._args.seconds / 2
        served.sleep_until(middle_s)
        processes.kill("w0")
        print("demo: killed worker w0", flush=True)
        served.sleep_until(middle_s + RESTART_AFTER_S)
        served.start_worker(0, self._worker_config(policy, 0), endpoints[0])
        processes.wait_ready("w0")
        print("demo: restarted worker w0", flush=True)
        return served.finish()

    def _load_arguments(self, policy):
        arguments = [
            "--model", MODEL, "--data", self._args.data,
            "--reference-logits", self._paths["logits"],
            "--rate", str(RATE_QPS), "--deadline", f"{DEADLINE_MS}ms",
            "--seed", str(self._args.seed),
            "--name", "demo", "--policy", policy, "--scenario", SCENARIO,
            "--load", str(LOAD), "--workers", str(NUM_WORKERS),
        ]
        if policy == "coded":
            arguments += ["--code", f"{SCHEME}:{K}:1"]
        return arguments


def new_record(args):
    return RunRecord("demo", args.seed, {
        "seconds": args.seconds, "rate_qps": RATE_QPS,
        "workers": {"none": "9 deployed", "coded": "6 deployed + 3 parity"},
        "service": f"paced {SERVICE_MS} ms (parity: times its measured cost), "
                   f"spread {SPREAD}; answers computed",
        "slow_jobs": {"probability": SLOW_PROBABILITY, "factor": SLOW_FACTOR},
        "kill": f"worker w0 (deployed) at half time, back after "
                f"{RESTART_AFTER_S} s",
        "deadline_ms": DEADLINE_MS, "recipe": RECIPE})


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=60,
                        help="measured part of each of the two runs")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/demo/out"),
                        help="where table, picture and run record go")
    parser.add_argument("--bin", default=os.path.join(ROOT,
                                                      "build/release/bin"))
    parser.add_argument("--cache", default=os.path.join(ROOT,
                                                        "build/demo/bundles"))
    parser.add_argument("--data",
                        default="idx:/usr/share/datasets/fashion-mnist")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.seconds < 5:
        parser.error("--seconds wants at least 5: one worker must die and "
                     "come back meanwhile")
    # Configurations name paths, and count relative ones from their own place.
    for name in ("out", "bin", "cache"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    return args


def main():
    args = parse_args()
    os.makedirs(args.out, exist_ok=True)
    paths = demo_bundles.ensure_bundles(args.bin, args.data, args.cache,
                                        RECIPE)
    demo = Demo(args, paths)
    record = new_record(args)
    record.add_to_config("parity_cost", demo.parity_cost)
    loads = [demo.run(policy) for policy in ("none", "coded")]
    runs = [load["runs"][0] for load in loads]
    for run in runs:
        record.add(run)
    record.add_to_config("load", [load["config"] for load in loads])
    record_path = os.path.join(args.out, "record.json")
    record.write(record_path, os.path.join(args.bin, "parm-load"))
    picture_path = os.path.join(args.out, "latency.png")
    report.picture(
        {run["policy"]: os.path.join(args.out, run["policy"], "cdf.csv")
         for run in runs}, DEADLINE_MS,
        f"{NUM_WORKERS} workers, load {LOAD}, {SCENARIO}", picture_path)
    text = report.table(runs)
    write(os.path.join(args.out, "table.txt"), text + "\n")
    print(f"\n{SCENARIO}; load {LOAD} on {NUM_WORKERS} workers, "
          f"{SERVICE_MS} ms paced service\n\n{text}\n")
    print(f"picture     {picture_path}\nrun record  {record_path}")
    refused = [run for run in runs if run["refused"]]
    for run in refused:
        print(f"demo: {run['policy']} is refused: {run['refused']}",
              file=sys.stderr)
    return 3 if refused else 0


if __name__ == "__main__":
    driver.run("demo", main)
