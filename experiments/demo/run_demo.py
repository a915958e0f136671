"""The demo behind scripts/demo.sh: nine paced workers, one frontend, one load,
twice: without redundancy, then coded.

Real models answer real images; only the service time is paced (20 ms, as an
accelerator would take). One job in a hundred is slowed tenfold, and one worker
is killed in the middle and comes back two seconds later on the same port.
"""

import argparse
import json
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.demo import report  # noqa: E402
from experiments.harness import driver  # noqa: E402
from experiments.harness.frontend import (  # noqa: E402
    Metrics, wait_until_ready)
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402

MODEL = demo_bundles.MODEL
NUM_WORKERS = 9
NUM_PARITY_WORKERS = 3
K = 2
LOAD = 0.25
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
    "parity": ["--scheme", "sum", "--k", str(K), "--seed", "1"],
}


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def worker_yaml(index, bind, bundle, seed):
    # JSON is YAML.
    return json.dumps({
        "id": f"w{index}",
        "bind": bind,
        "bundles": [{
            "path": bundle,
            "pace": {"service": f"{SERVICE_MS}ms", "spread": SPREAD},
        }],
        "faults": {
            "seed": seed,
            "events": [{"slow_jobs": {"probability": SLOW_PROBABILITY,
                                      "factor": SLOW_FACTOR}}],
        },
    }, indent=2)


def frontend_yaml(endpoints, policy):
    redundancy = {"policy": policy}
    if policy == "coded":
        redundancy["code"] = {"scheme": "sum", "k": K, "r": 1}
    return json.dumps({
        "workers": [{"endpoint": endpoint} for endpoint in endpoints],
        "models": [{
            "name": MODEL,
            "deadline": f"{DEADLINE_MS}ms",
            "redundancy": redundancy,
        }],
    }, indent=2)


class Demo:
    def __init__(self, args, paths):
        self._args = args
        self._paths = paths
        self._bin = args.bin

    def _binary(self, name):
        return os.path.join(self._bin, name)

    def _bundle_of(self, policy, index):
        """The last workers of `coded` serve the parity model."""
        parity = (policy == "coded" and
                  index >= NUM_WORKERS - NUM_PARITY_WORKERS)
        return self._paths["parity" if parity else "deployed"]

    def _start_worker(self, processes, policy, index, bind):
        config = write(
            os.path.join(self._args.out, policy, f"w{index}.yaml"),
            worker_yaml(index, bind, self._bundle_of(policy, index),
                        self._args.seed))
        processes.start(f"w{index}", [self._binary("parm-worker"), "--config",
                                      config, "--log-level", "warn"])

    def run(self, policy):
        """Runs one policy; the entry of the run record."""
        folder = os.path.join(self._args.out, policy)
        os.makedirs(folder, exist_ok=True)
        with ProcessSet(folder) as processes:
            return self._run_with(processes, policy, folder)

    def _run_with(self, processes, policy, folder):
        for index in range(NUM_WORKERS):
            self._start_worker(processes, policy, index, "tcp://127.0.0.1:0")
        endpoints = [processes.wait_ready(f"w{index}")["zmq"]
                     for index in range(NUM_WORKERS)]
        config = write(os.path.join(folder, "frontend.yaml"),
                       frontend_yaml(endpoints, policy))
        processes.start("frontend", [
            self._binary("parm-frontend"), "--config", config,
            "--http-port", "0", "--metrics-port", "0"])
        address = processes.wait_ready("frontend")
        wait_until_ready(address["http"], MODEL)
        print(f"demo: {policy}: {RATE_QPS:.1f} queries/s for "
              f"{self._args.seconds} s", flush=True)
        self._start_load(processes, policy, folder, address["http"])
        # parm-load reads its data before it sends: a second for that.
        self._sleep_until(processes, WARM_UP_S + 1)
        warm = Metrics.scrape(address["metrics"])
        self._kill_and_restart(processes, policy, endpoints[0])
        status = self._wait_for_load(processes)
        if status not in (0, 3):
            raise RuntimeError(f"parm-load ended with status {status}\n"
                               f"{processes.log_tail('load')}")
        metrics = Metrics.scrape(address["metrics"])
        record_path = os.path.join(folder, "record.json")
        with open(record_path, encoding="utf-8") as file:
            record = json.load(file)
        self._add_frontend_figures(record["runs"][0], warm, metrics)
        return record

    def _start_load(self, processes, policy, folder, http):
        command = [
            self._binary("parm-load"), "--url", http, "--model", MODEL,
            "--data", self._args.data,
            "--reference-logits", self._paths["logits"],
            "--rate", str(RATE_QPS), "--duration", f"{self._args.seconds}s",
            "--warmup", f"{WARM_UP_S}s", "--deadline", f"{DEADLINE_MS}ms",
            "--seed", str(self._args.seed),
            "--process", str(processes.pid("frontend")),
            "--out", os.path.join(folder, "record.json"),
            "--cdf", os.path.join(folder, "cdf.csv"),
            "--name", "demo", "--policy", policy, "--scenario", SCENARIO,
            "--load", str(LOAD), "--workers", str(NUM_WORKERS),
        ]
        if policy == "coded":
            command += ["--code", f"sum:{K}:1"]
        self._load = processes.start("load", command)
        self._load_started = time.monotonic()

    def _sleep_until(self, processes, seconds_into_load):
        """Sleeps, but notices at once if something ended."""
        while True:
            left = self._load_started + seconds_into_load - time.monotonic()
            if left <= 0:
                return
            processes.check_alive()
            time.sleep(min(left, 0.2))

    def _kill_and_restart(self, processes, policy, endpoint):
        middle_s = WARM_UP_S + self._args.seconds / 2
        self._sleep_until(processes, middle_s)
        processes.kill("w0")
        print("demo: killed worker w0", flush=True)
        self._sleep_until(processes, middle_s + RESTART_AFTER_S)
        self._start_worker(processes, policy, 0, endpoint)
        processes.wait_ready("w0")
        print("demo: restarted worker w0", flush=True)

    def _wait_for_load(self, processes):
        limit_s = WARM_UP_S + self._args.seconds + 30
        while time.monotonic() - self._load_started < limit_s:
            if self._load.poll() is not None:
                return self._load.returncode
            time.sleep(0.1)
        raise RuntimeError(f"parm-load did not end in {limit_s:.0f} s")

    @staticmethod
    def _add_frontend_figures(run, warm, end):
        """What only the frontend knows, from its counters after the warm-up
        and at the end.
        """
        def count(name):
            return end.total(name) - warm.total(name)

        queries = count("parm_queries_total")
        if queries > 0:
            run["extra_jobs_per_query"] = max(
                0, count("parm_tasks_total") - queries) / queries
            run["late_share"] = min(
                1, count("parm_late_originals_total") / queries)


def new_record(args):
    return RunRecord("demo", args.seed, {
        "seconds": args.seconds, "rate_qps": RATE_QPS,
        "workers": {"none": "9 deployed", "coded": "6 deployed + 3 parity"},
        "service": f"paced {SERVICE_MS} ms, spread {SPREAD}; answers computed",
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
