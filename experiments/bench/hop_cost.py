"""What a hop costs: HAProxy against the frontend's `none` and `hybrid`.

    hop_cost.py [--repeats 5] [--seconds 5]

Four workers with a stub model (parm-test-worker) serve everybody, HAProxy by
their HTTP ports, the frontend by ZeroMQ. For each size of query the candidates
take turns (A B C, B C A, ...); every figure is the median of the repeats with
the least and the largest beside it; a ratio is that of the medians, with the
range of the repeats' own ratios. CPU is that of the hop's own process, all
its threads, by /proc/PID/task/*/schedstat. `direct` is the load at one worker's
HTTP port without a hop: its p50 is what the others' is compared with.

Writes OUT/hop_cost.json, a run record, and a Markdown table, hop_cost.md. Exit
status: 0 done, 1 failed, 3 every run of a figure was refused, and its size left
out.
"""

import argparse
import os
import statistics
import sys
from functools import partial

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.bench import stub_bundles  # noqa: E402
from experiments.bench.hop_runs import (  # noqa: E402
    cpu_ratio, in_turns, run_frontend_load, run_load, table, text)
from experiments.harness import driver  # noqa: E402
from experiments.harness.frontend import wait_until_ready  # noqa: E402
from experiments.harness.haproxy import HaProxy  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402
from experiments.harness.served_load import write_json  # noqa: E402

MODEL = stub_bundles.MODEL
# Shape of a query, and the rate that two cores can serve beside the load.
SIZES = {
    "3 KB": ((1, 28, 28), 2000),
    "12 KB": ((3, 32, 32), 2000),
    "602 KB": ((3, 224, 224), 150),
}
NUM_WORKERS = 4
REDUNDANCY = {
    "none": {"policy": "none"},
    "hybrid": {"policy": "hybrid", "code": {"scheme": "sum", "k": 2}},
}
CANDIDATES = ("haproxy", *REDUNDANCY, "direct")
GOALS = {"none": 1.5, "hybrid": 3.0}


class SizeBench:
    """One size of query: its workers, hops, data."""

    def __init__(self, args, name, processes, folder):
        shape, self._rate = SIZES[name]
        self._args = args
        self._name = name
        self._processes = processes
        self._folder = folder
        os.makedirs(folder, exist_ok=True)
        num_floats = 1
        for dimension in shape:
            num_floats *= dimension
        self._data = stub_bundles.write_data(
            os.path.join(folder, "data"), num_floats)
        bundles = stub_bundles.write_bundles(folder, shape)
        ready = [self._start_worker(index, bundles)
                 for index in range(NUM_WORKERS)]
        self._hops = {"direct": (None, ready[0]["http"], None)}
        self._start_haproxy([each["http"] for each in ready])
        for policy in REDUNDANCY:
            self._start_frontend(policy, [each["zmq"] for each in ready])

    def _binary(self, name):
        return os.path.join(self._args.bin, name)

    def _start_worker(self, index, bundles):
        name = f"w{index}"
        config = write_json(os.path.join(self._folder, f"{name}.yaml"), {
            "id": name, "bind": "tcp://127.0.0.1:0",
            "bundles": [{"path": path} for path in bundles]})
        self._processes.start(name, [
            self._binary("parm-test-worker"), "--config", config,
            "--http-port", "0", "--log-level", "warn"])
        return self._processes.wait_ready(name)

    def _start_haproxy(self, endpoints):
        proxy = HaProxy(self._processes, self._folder)
        address = proxy.start(endpoints, "/v2/health/ready")
        self._hops["haproxy"] = (HaProxy.NAME, address, None)

    def _start_frontend(self, policy, endpoints):
        config = write_json(
            os.path.join(self._folder, f"frontend-{policy}.yaml"), {
                "workers": [{"endpoint": each} for each in endpoints],
                "models": [{"name": MODEL, "deadline": "500ms",
                            "redundancy": REDUNDANCY[policy]}]})
        name = f"frontend-{policy}"
        self._processes.start(name, [
            self._binary("parm-frontend"), "--config", config,
            "--http-port", "0", "--allow-grpc=false",
            "--metrics-port", "0"])
        address = self._processes.wait_ready(name)
        wait_until_ready(address["http"], MODEL)
        self._hops[policy] = (name, address["http"], address["metrics"])

    def run(self, candidate, repeat):
        """One run's entry of the record."""
        name, address, metrics = self._hops[candidate]
        run = partial(run_frontend_load, metrics) if metrics else run_load
        return run(
            self._processes, self._args.bin, self._folder, address,
            name and self._processes.pid(name), model=MODEL,
            data=f"idx:{self._data}", rate=self._rate,
            duration=f"{self._args.seconds}s", seed=repeat + 1, repeat=repeat,
            policy=candidate, scenario=self._name, workers=NUM_WORKERS)


def summary_rows(name, runs, record):
    """Table rows of one size; `runs`: candidate -> entries, not refused."""
    rows = []
    direct_ms = statistics.median(
        run["latency_from_send_ms"]["p50"] for run in runs["direct"])
    for candidate, entries in runs.items():
        p50_us = [run["latency_from_send_ms"]["p50"] * 1e3 for run in entries]
        cpu = ("-" if candidate == "direct" else
               text([run["cpu_us_per_query"] for run in entries], 1))
        ratio = "-"
        if candidate in GOALS:
            value, least, largest = cpu_ratio(entries, runs["haproxy"])
            record.add_to_config(f"{name}: {candidate} over haproxy", value)
            reached = "reached" if value <= GOALS[candidate] else "missed"
            ratio = (f"{value:.2f} ({least:.2f} .. {largest:.2f}); goal "
                     f"{GOALS[candidate]:g}: {reached}")
        extra = [run["extra_jobs_per_query"] for run in entries
                 if run["extra_jobs_per_query"] is not None]
        rows.append([
            name, candidate, str(len(entries)), cpu, ratio, text(p50_us),
            f"{statistics.median(p50_us) - direct_ms * 1e3:.0f}",
            f"{statistics.median(extra):.2f}" if extra else "-"])
    return rows


def measure(args, record):
    rows = [["query", "hop", "runs", "CPU-us per query", "over HAProxy",
             "p50 us", "added p50 us", "extra jobs"]]
    status = 0
    for name in args.size or SIZES:
        folder = os.path.join(args.out, name.replace(" ", ""))
        with ProcessSet(folder) as processes:
            bench = SizeBench(args, name, processes, folder)
            runs = in_turns("hop_cost", name, CANDIDATES, args.repeats,
                            bench.run, record)
        if len(runs) < len(CANDIDATES):
            status = 3
        else:
            rows += summary_rows(name, runs, record)
    return rows, status


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", action="append", choices=list(SIZES),
                        help="instead of all")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bin", default=os.path.join(ROOT,
                                                      "build/release/bin"))
    parser.add_argument("--out", default=os.path.join(ROOT,
                                                      "build/bench/hop"))
    args = parser.parse_args()
    for name in ("out", "bin"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    os.makedirs(args.out, exist_ok=True)
    record = RunRecord("hop_cost", 1, {
        "seconds": args.seconds, "repeats": args.repeats,
        "load_average_at_start": os.getloadavg()[0]})
    try:
        rows, status = measure(args, record)
    finally:
        record.add_to_config("load_average_at_end", os.getloadavg()[0])
        record.write(os.path.join(args.out, "hop_cost.json"),
                     os.path.join(args.bin, "parm-load"))
    print(table(rows))
    with open(os.path.join(args.out, "hop_cost.md"), "w",
              encoding="utf-8") as file:
        file.write(table(rows) + "\n")
    return status


if __name__ == "__main__":
    driver.run("hop_cost", main)
