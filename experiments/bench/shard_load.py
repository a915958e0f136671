"""What one shard of the frontend bears and what it costs.

    shard_load.py ceiling    queries a second, on one core of its own
    shard_load.py workers    CPU and memory by number of workers and rate

Workers are processes with a stub model (parm-test-worker), one lane each, that
answer 3 KB queries at once. `ceiling`: the frontend with all its threads is bound
to the first core, four workers and the load share the others. `workers`: 8, 64
and 256 of them; at rate 0 nothing comes but their heartbeats, and CPU is told as
share of a core. Figures are medians of the repeats with the least and the
largest beside them; rates take turns.

Writes OUT/shard_WHAT.json, a run record, and OUT/shard_WHAT.md. Exit status: 0
done, 1 failed, 3 every run of a figure was refused, and it is left out.
"""

import argparse
import contextlib
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.bench import hop_runs, stub_bundles  # noqa: E402
from experiments.bench.hop_runs import in_turns, text  # noqa: E402
from experiments.harness import driver, usage  # noqa: E402
from experiments.harness.frontend import Metrics  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.served_load import write_json  # noqa: E402

SHAPE = (1, 28, 28)
REDUNDANCY = {
    "none": {"policy": "none"},
    "hybrid": {"policy": "hybrid", "code": {"scheme": "sum", "k": 2}},
}
CEILING_WORKERS = 4
GOAL_QPS = 4000
RATES = {"ceiling": [2000, 4000, 8000, 12000], "workers": [0, 500, 2000]}
# Less is a shard that falls behind; the schedule itself is random.
_KEPT_UP = 0.99
_READY_S = 120


@contextlib.contextmanager
def _on(cores):
    """What is started meanwhile keeps to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ShardBench(hop_runs.SizeBench):
    """Workers, and a frontend for each policy, one of which is loaded at a
    time.
    """

    def __init__(self, args, num_workers, processes, folder, frontend_cores,
                 other_cores):
        super().__init__(args, SHAPE, processes, folder)
        self._num_workers = num_workers
        self._other_cores = other_cores
        with _on(other_cores):
            self._endpoints = self._start_workers()
        with _on(frontend_cores):
            for policy in args.policy:
                self.hops[policy] = self._start_frontend(policy)

    def _start_workers(self):
        bundles = stub_bundles.write_bundles(self._folder, SHAPE)
        names = [f"w{index}" for index in range(self._num_workers)]
        for name in names:
            config = write_json(os.path.join(self._folder, f"{name}.yaml"), {
                "id": name, "bind": "tcp://127.0.0.1:0",
                "bundles": [{"path": path} for path in bundles]})
            self._processes.start(name, [
                os.path.join(self._args.bin, "parm-test-worker"), "--config",
                config, "--log-level", "warn"])
        return [self._processes.wait_ready(name)["zmq"] for name in names]

    def _start_frontend(self, policy):
        name, ready = self.start_frontend(
            policy, REDUNDANCY[policy],
            [{"endpoint": each} for each in self._endpoints],
            self._args.deadline)
        deadline = time.monotonic() + _READY_S
        while (up := Metrics.scrape(ready["metrics"]).total(
                "parm_worker_state", state="up")) < self._num_workers:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"only {up:.0f} of {self._num_workers} workers are up in "
                    f"{_READY_S} s")
            time.sleep(0.2)
        return name, ready["http"], ready["metrics"]

    def run(self, policy, rate, repeat):
        """One run's entry of the record."""
        with _on(self._other_cores):
            # Without a spin: what shares the load's core needs it.
            return self.load(policy, rate=rate, seed=repeat + 1,
                             repeat=repeat, spin="0us",
                             scenario=f"{rate} queries/s",
                             workers=self._num_workers)

    def idle_share(self, policy):
        """Of a core, while no query comes."""
        pid = self._processes.pid(self.hops[policy][0])
        before, since = usage.cpu_s(pid), time.monotonic()
        time.sleep(self._args.seconds)
        return (usage.cpu_s(pid) - before) / (time.monotonic() - since)

    def resident_mb(self, policy):
        return usage.resident_mb(self._processes.pid(self.hops[policy][0]))


def _failed(run):
    return run["answers"]["error"] + run["answers"]["lost"]


def _core_percent(run):
    return run["cpu_us_per_query"] * run["offered_qps"] / 1e4


def _ceiling_row(policy, rate, runs):
    def latency(key):
        return [run["latency_from_send_ms"][key] for run in runs]
    kept_up = all(run["achieved_qps"] >= _KEPT_UP * run["offered_qps"] and
                  not _failed(run) for run in runs)
    verdict = "yes" if kept_up else "no"
    if rate == GOAL_QPS:
        verdict += f"; goal: {'reached' if kept_up else 'missed'}"
    return [policy, str(rate), str(len(runs)),
            text([run["achieved_qps"] for run in runs]), verdict,
            text([run["cpu_us_per_query"] for run in runs], 1),
            text([_core_percent(run) for run in runs]), text(latency("p50"), 2),
            text(latency("p99"), 2), str(sum(map(_failed, runs)))]


def measure_ceiling(args, record):
    rows = [["policy", "offered/s", "runs", "achieved/s", "kept up",
             "CPU-us per query", "% of its core", "p50 ms", "p99 ms",
             "errors, lost"]]
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        raise RuntimeError("ceiling wants two cores: one is the frontend's")
    status = 0
    with ProcessSet(args.out) as processes:
        own = {min(cores)}
        bench = ShardBench(args, CEILING_WORKERS, processes, args.out, own,
                           cores - own)
        for policy in args.policy:
            runs = in_turns(
                "shard_load", policy, tuple(args.rates), args.repeats,
                lambda rate, repeat: bench.run(policy, rate, repeat),  # noqa: B023
                record)
            rows += [_ceiling_row(policy, rate, each)
                     for rate, each in runs.items()]
            if len(runs) < len(args.rates):
                status = 3
    return rows, status


def _workers_rows(bench, args, num_workers, record):
    """Of all policies and rates, and whether none was refused each time."""
    rows, whole = [], True
    for policy in args.policy:
        rates = tuple(rate for rate in args.rates if rate > 0)
        if 0 in args.rates:
            shares = [100 * bench.idle_share(policy)
                      for _ in range(args.repeats)]
            record.add_to_config(f"{policy}, {num_workers} workers, idle: % of "
                                 "a core", shares)
            rows.append([str(num_workers), policy, "0", str(len(shares)), "-",
                         text(shares, 1), f"{bench.resident_mb(policy):.1f}",
                         "-"])
        runs = in_turns(
            "shard_load", f"{num_workers} workers, {policy}", rates,
            args.repeats,
            lambda rate, repeat: bench.run(policy, rate, repeat),  # noqa: B023
            record)
        whole &= len(runs) == len(rates)
        rows += [[str(num_workers), policy, str(rate), str(len(each)),
                  text([run["cpu_us_per_query"] for run in each], 1),
                  text([_core_percent(run) for run in each], 1),
                  text([run["rss_mb"] for run in each], 1),
                  text([run["latency_from_send_ms"]["p50"] * 1e3
                        for run in each])]
                 for rate, each in runs.items()]
    return rows, whole


def measure_workers(args, record):
    rows = [["workers", "policy", "queries/s", "runs", "CPU-us per query",
             "% of a core", "RSS MB", "p50 us"]]
    status = 0
    for num_workers in args.workers:
        folder = os.path.join(args.out, f"workers{num_workers}")
        with ProcessSet(folder) as processes:
            cores = os.sched_getaffinity(0)
            bench = ShardBench(args, num_workers, processes, folder, cores,
                               cores)
            made, whole = _workers_rows(bench, args, num_workers, record)
        rows += made
        if not whole:
            status = 3
    return rows, status


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=list(RATES))
    parser.add_argument("--policy", action="append", choices=list(REDUNDANCY),
                        help="instead of all")
    parser.add_argument("--rates", type=int, nargs="+",
                        help="queries per second; workers: 0 is nothing")
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 256])
    hop_runs.add_common_flags(parser, "build/bench/shard")
    hop_runs.add_deadline_flag(parser)
    args = parser.parse_args()
    args.policy = args.policy or list(REDUNDANCY)
    args.rates = args.rates or RATES[args.what]
    if args.what == "ceiling" and min(args.rates) <= 0:
        parser.error("--rates wants more than 0 with ceiling")
    measure = (measure_ceiling if args.what == "ceiling" else measure_workers)
    return hop_runs.run_bench(f"shard_{args.what}", args, measure,
                              deadline=args.deadline)


if __name__ == "__main__":
    driver.run("shard_load", main)
