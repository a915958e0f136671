"""Simulates load x scenario x policy x seed and writes what each cell gave.

Runs parm-sim once per (scenario, load, seed) for all policies, so that they meet
the same luck, several processes at a time. Writes grid.json (one row per cell
and seed), grid.md (claims and tables over the seeds) and grid.png into --out.
Without --loads each scenario runs at loads of its own.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.harness import driver  # noqa: E402
from experiments.harness import record  # noqa: E402
from experiments.tail import grid_report  # noqa: E402

# Scenario -> loads.
LOADS = {
    **dict.fromkeys(["slow_jobs_1", "slow_jobs_3", "slow_jobs_8", "slow_mode",
                     "shuffles", "trace", "domain_pause"],
                    [0.1, 0.3, 0.5, 0.65, 0.75, 0.85]),
    **dict.fromkeys(["kill_restart", "silent_worker", "failing_worker",
                     "all_slow", "mixed_batches", "four_frontends",
                     "load_step", "overload_pulse"], [0.3, 0.65]),
    "slow_jobs_8": [0.1, 0.2, 0.3, 0.5, 0.65, 0.75, 0.85],
    "very_low_load": [0.01],
}
# What goes wrong once, after some seconds, must not drown in what follows.
SECONDS = dict.fromkeys(["kill_restart", "silent_worker", "failing_worker",
                         "all_slow", "load_step", "overload_pulse"], 30)
POLICIES = ["none", "replicate", "hedge", "hedge_20", "parm", "coded", "backup",
            "hybrid", "hybrid_pack", "oracle", "infinite_servers"]


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", default=list(LOADS))
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    parser.add_argument("--loads", nargs="+", type=float,
                        help="of every scenario, instead of its own")
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="seeds 1 to N (default: 5)")
    parser.add_argument("--queries", type=int, default=100_000, metavar="N",
                        help="measured in each run (default: 100000; scenarios "
                        "in which something happens once: 30 s, if fewer)")
    parser.add_argument("--trace", metavar="FILE",
                        help="recorded slow-downs for scenario trace")
    parser.add_argument("--jobs", type=int, default=2, metavar="N",
                        help="processes at a time (default: 2)")
    parser.add_argument("--bin", default=os.path.join(
        ROOT, "build", "release", "bin"), metavar="DIR")
    parser.add_argument("--out", default=os.path.join(
        ROOT, "experiments", "results", "tail"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs want 1 or more")
    unknown = set(options.scenarios) - set(LOADS)
    if unknown and not options.loads:
        parser.error(f"no loads are known for {', '.join(sorted(unknown))}: "
                     "want --loads")
    return options


def rounded(value):
    """To six digits: more than histograms of 1/64 resolution hold."""
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def row_of(run, seed):
    """A run of the record as a row of the grid."""
    latency = run["latency_ms"]
    tail = run["tail_mass"]
    return {
        "scenario": run["scenario"],
        "load": run["load"],
        "policy": run["policy"],
        "servers": run["workers"],
        "seed": seed,
        "p50_ms": latency["p50"],
        "p99_ms": latency["p99"],
        "p99_9_ms": latency["p99_9"],
        "p99_9_ci_ms": [latency["p99_9_low"], latency["p99_9_high"]],
        "over_2_service": tail["over_2_service"],
        "over_3_service": tail["over_3_service"],
        "over_5_service": tail["over_5_service"],
        "late_share": run["late_share"],
        "share_reconstructed":
            run["answers"]["reconstructed"] / run["queries"],
        "share_backup": run["answers"]["backup"] / run["queries"],
        "share_unanswered":
            (run["answers"]["error"] + run["answers"]["default"]) /
            run["queries"],
        "exact_accuracy": run["accuracy"]["exact"],
        "delivered_accuracy": run["accuracy"]["delivered"],
        "extra_jobs_per_query": run["extra_jobs_per_query"],
        "extra_service_per_query": run["extra_service_per_query"],
        "wasted_service_per_query": run["wasted_service_per_query"],
    }


def length_of(options, scenario):
    """Flags of parm-sim that say how long a run is."""
    if scenario in SECONDS and options.queries >= 30_000:
        return ["--seconds", str(SECONDS[scenario])]
    return ["--queries", str(options.queries)]


def simulate(options, scenario, load, seed):
    """All policies under one scenario, load and seed: rows."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "record.json")
        command = [
            os.path.join(options.bin, "parm-sim"),
            os.path.join(ROOT, "experiments", "scenarios", scenario + ".yaml"),
            "--load", str(load), "--seed", str(seed), "--out", out,
            *length_of(options, scenario)]
        for policy in options.policies:
            command += ["--policy", policy]
        if scenario == "trace" and options.trace:
            command += ["--trace", options.trace]
        result = subprocess.run(command, capture_output=True, text=True,
                                check=False)
        if result.returncode != 0:
            raise RuntimeError(result.stderr.strip())
        with open(out, encoding="utf-8") as file:
            return [row_of(run, seed) for run in json.load(file)["runs"]]


def simulate_all(options):
    cells = [(scenario, load, seed) for scenario in options.scenarios
             for load in options.loads or LOADS[scenario]
             for seed in range(1, options.seeds + 1)]
    rows = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(simulate, options, *cell) for cell in cells]
        try:
            for done, future in enumerate(futures, start=1):
                rows += future.result()
                if done % options.seeds == 0:
                    scenario, load, _ = cells[done - 1]
                    print(f"{done}/{len(cells)} {scenario} {load:g}",
                          flush=True)
        except BaseException:
            # Those under way end by themselves; no further one begins.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def note_of(options):
    trace = (f"replays {os.path.basename(options.trace)}" if options.trace
             else "replays its committed, synthetic file")
    return (f" Commit {record.commit()}; {options.queries} measured queries in "
            f"each run, 30 s where something happens once; scenario `trace` "
            f"{trace}.")


def main():
    options = parse_arguments(sys.argv[1:])
    # Before the runs: what is checked out may change meanwhile.
    note = note_of(options)
    rows = simulate_all(options)
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "grid.json"), "w",
              encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(
            json.dumps({key: rounded(value) for key, value in row.items()})
            for row in rows) + "\n]\n")
    with open(os.path.join(options.out, "grid.md"), "w",
              encoding="utf-8") as file:
        file.write(grid_report.markdown(rows, note))
    grid_report.picture(rows, os.path.join(options.out, "grid.png"))
    print(f"wrote {len(rows)} rows to {options.out}")
    return 0


if __name__ == "__main__":
    driver.run("grid", main)
