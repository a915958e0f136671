"""Simulates load x scenario x policy x seed and writes what each cell gave.

Runs parm-sim once per (scenario, load, seed) for all policies, so that they meet
the same luck, several processes at a time. Writes grid.json (one row per cell
and seed), grid.md (tables over the seeds) and grid.png into --out.
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

SCENARIOS = ["slow_jobs_1", "slow_jobs_3", "slow_jobs_8", "slow_mode",
             "shuffles", "trace", "domain_pause"]
LOADS = [0.1, 0.3, 0.5, 0.65, 0.75, 0.85]
POLICIES = ["none", "replicate", "hedge", "hedge_20", "parm", "coded", "backup",
            "hybrid", "hybrid_pack"]


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", default=SCENARIOS)
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS)
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="seeds 1 to N (default: 5)")
    parser.add_argument("--queries", type=int, default=100_000, metavar="N",
                        help="measured in each run (default: 100000)")
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
    return options


def row_of(run, seed):
    """A run of the record as a row of the grid."""
    latency = run["latency_ms"]
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
        "late_share": run["late_share"],
        "share_reconstructed":
            run["answers"]["reconstructed"] / run["queries"],
        "share_unanswered":
            (run["answers"]["error"] + run["answers"]["default"]) /
            run["queries"],
        "delivered_accuracy": run["accuracy"]["delivered"],
        "extra_jobs_per_query": run["extra_jobs_per_query"],
        "extra_service_per_query": run["extra_service_per_query"],
    }


def simulate(options, scenario, load, seed):
    """All policies under one scenario, load and seed: rows."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "record.json")
        command = [
            os.path.join(options.bin, "parm-sim"),
            os.path.join(ROOT, "experiments", "scenarios", scenario + ".yaml"),
            "--load", str(load), "--seed", str(seed),
            "--queries", str(options.queries), "--oracle", "--out", out]
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
             for load in options.loads
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
            f"each run; scenario `trace` {trace}.")


def main():
    options = parse_arguments(sys.argv[1:])
    # Before the runs: what is checked out may change meanwhile.
    note = note_of(options)
    rows = simulate_all(options)
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "grid.json"), "w",
              encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) +
                   "\n]\n")
    with open(os.path.join(options.out, "grid.md"), "w",
              encoding="utf-8") as file:
        file.write(grid_report.markdown(rows, note))
    grid_report.picture(rows, os.path.join(options.out, "grid.png"))
    print(f"wrote {len(rows)} rows to {options.out}")
    return 0


if __name__ == "__main__":
    driver.run("grid", main)
