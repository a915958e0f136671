"""What a hop costs: HAProxy against the frontend under each policy.

    hop_cost.py [--repeats 5] [--seconds 5] [--size "12 KB"] [--policy none]

Four workers with a stub model (parm-test-worker) serve everybody, HAProxy by
their HTTP ports, the frontend by ZeroMQ. For each size of query the candidates
take turns (A B C, B C A, ...); every figure is the median of the repeats with
the least and the largest beside it; a ratio is that of the medians, with the
range of the repeats' own ratios. CPU is that of the hop's own process, all its
threads, by its CPU clock. `direct` is the load at one worker's
HTTP port without a hop: its p50 is what the others' is compared with.

Writes OUT/hop_cost.json, a run record, and a Markdown table, hop_cost.md. Exit
status: 0 done, 1 failed, 3 every run of a figure was refused, and its size left
out.
"""

import os
import statistics
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.bench import hop_runs, stub_bundles  # noqa: E402
from experiments.bench.hop_runs import cpu_ratio, in_turns, text  # noqa: E402
from experiments.harness import driver  # noqa: E402
from experiments.harness.haproxy import HaProxy  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.served_load import write_json  # noqa: E402

# Shape of a query, and the rate that two cores can serve beside the load.
SIZES = {
    "3 KB": ((1, 28, 28), 2000),
    "12 KB": ((3, 32, 32), 2000),
    "602 KB": ((3, 224, 224), 150),
}
NUM_WORKERS = 4
REDUNDANCY = {
    "none": {"policy": "none"},
    "hedge": {"policy": "hedge"},
    "replicate": {"policy": "replicate"},
    "backup": {"policy": "backup", "code": {"scheme": "pack", "k": 4}},
    "coded": {"policy": "coded", "code": {"scheme": "sum", "k": 2}},
    "hybrid": {"policy": "hybrid", "code": {"scheme": "sum", "k": 2}},
}
# Most CPU time, in HAProxy's.
GOALS = {"none": 1.5, "hybrid": 3.0}


class SizeBench(hop_runs.SizeBench):

    def __init__(self, args, name, processes, folder):
        shape, rate = SIZES[name]
        self._rate = args.rate or rate
        super().__init__(args, shape, processes, folder)
        self._name = name
        bundles = [*stub_bundles.write_bundles(folder, shape),
                   stub_bundles.write_backup(folder, shape)]
        ready = [self._start_worker(index, bundles)
                 for index in range(NUM_WORKERS)]
        self.hops["direct"] = (None, ready[0]["http"], None)
        self.hops["haproxy"] = (
            HaProxy.NAME, HaProxy(processes, folder).start(
                [each["http"] for each in ready], "/v2/health/ready"), None)
        for policy in args.policy:
            process, words = self.start_frontend(
                policy, REDUNDANCY[policy],
                [{"endpoint": each["zmq"]} for each in ready], args.deadline)
            self.hops[policy] = (process, words["http"], words["metrics"])

    def _start_worker(self, index, bundles):
        name = f"w{index}"
        config = write_json(os.path.join(self._folder, f"{name}.yaml"), {
            "id": name, "bind": "tcp://127.0.0.1:0",
            "bundles": [{"path": path} for path in bundles]})
        return self.start(name, "parm-test-worker", "--config", config,
                          "--http-port", "0", "--log-level", "warn")

    def run(self, candidate, repeat):
        return self.load(candidate, rate=self._rate, seed=repeat + 1,
                         repeat=repeat, scenario=self._name,
                         workers=NUM_WORKERS)


def summary_rows(name, runs, record):
    """Table rows of one size; `runs`: candidate -> entries, not refused."""
    rows = []
    direct_ms = statistics.median(
        run["latency_from_send_ms"]["p50"] for run in runs["direct"])
    for candidate, entries in runs.items():
        p50_us = [run["latency_from_send_ms"]["p50"] * 1e3 for run in entries]
        cpu = ratio = "-"
        if candidate != "direct":
            cpu = text([run["cpu_us_per_query"] for run in entries], 1)
        if candidate in REDUNDANCY:
            value, least, largest = cpu_ratio(entries, runs["haproxy"])
            record.add_to_config(f"{name}: {candidate} over haproxy", value)
            ratio = f"{value:.2f} ({least:.2f} .. {largest:.2f})"
            goal = GOALS.get(candidate)
            if goal is not None:
                reached = "reached" if value <= goal else "missed"
                ratio += f"; goal {goal:g}: {reached}"
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
    candidates = ("haproxy", *args.policy, "direct")
    for name in args.size or SIZES:
        folder = os.path.join(args.out, name.replace(" ", ""))
        with ProcessSet(folder) as processes:
            bench = SizeBench(args, name, processes, folder)
            runs = in_turns("hop_cost", name, candidates, args.repeats,
                            bench.run, record)
        if len(runs) < len(candidates):
            status = 3
        else:
            rows += summary_rows(name, runs, record)
    return rows, status


def main():
    parser = hop_runs.arguments(__doc__, "build/bench/hop", SIZES)
    parser.add_argument("--policy", action="append", choices=list(REDUNDANCY),
                        help="instead of all")
    parser.add_argument("--rate", type=float,
                        help="queries per second, instead of each size's own")
    hop_runs.add_deadline_flag(parser)
    args = parser.parse_args()
    args.policy = args.policy or list(REDUNDANCY)
    return hop_runs.run_bench("hop_cost", args, measure,
                              deadline=args.deadline)


if __name__ == "__main__":
    driver.run("hop_cost", main)
