"""How fast policies follow a step, what an overload leaves of them, and whether
a worker that never answers drives a trigger up.

Runs parm-sim over many seeds for all policies, so that they meet the same luck,
and pools the queries of all seeds window by window. Writes steps.json and
steps.md into --out.
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
from experiments.tail import steps_report  # noqa: E402
from experiments.tail.windows import PooledLogs, read_log  # noqa: E402

POLICIES = ["none", "replicate", "hedge", "hedge_20", "parm", "coded", "backup",
            "hybrid", "hybrid_pack"]
# Case -> scenario, load, measured seconds after the warm-up of 2 s. What happens
# happens after 10 s; the worker falls silent after 6 s.
CASES = {
    "load_step": ("load_step", 0.3, 20),
    "straggler_step": ("straggler_step", 0.2, 20),
    "overload_pulse": ("overload_pulse", 0.5, 20),
    "silent_worker": ("silent_worker", 0.3, 34),
}


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES,
                        default=list(CASES))
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    parser.add_argument("--seeds", type=int, default=60, metavar="N",
                        help="seeds 101 to 100 + N, which chose no default "
                        "(default: 60)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N",
                        help="processes at a time (default: 2)")
    parser.add_argument("--bin", default=os.path.join(
        ROOT, "build", "release", "bin"), metavar="DIR")
    parser.add_argument("--out", default=os.path.join(
        ROOT, "experiments", "results", "tail"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.seeds < 2 or options.jobs < 1:
        parser.error("--seeds wants 2 or more, --jobs 1 or more")
    if "none" not in options.policies:
        parser.error("--policies wants none, which goodput is compared with")
    return options


def simulate(options, case, seed):
    """All policies of a case under one seed: policy -> log."""
    scenario, load, seconds = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            os.path.join(options.bin, "parm-sim"),
            os.path.join(ROOT, "experiments", "scenarios", scenario + ".yaml"),
            "--load", str(load), "--seconds", str(seconds),
            "--seed", str(seed), "--logs", folder]
        for policy in options.policies:
            command += ["--policy", policy]
        result = subprocess.run(command, capture_output=True, text=True,
                                check=False)
        if result.returncode != 0:
            raise RuntimeError(result.stderr.strip())
        return {policy: read_log(os.path.join(folder, policy + ".csv"))
                for policy in options.policies}


def simulate_case(options, case):
    """policy -> PooledLogs."""
    seeds = range(101, 101 + options.seeds)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(simulate, options, case, seed)
                   for seed in seeds]
        try:
            logs = [future.result() for future in futures]
        except BaseException:
            # Those under way end by themselves; no further one begins.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {policy: PooledLogs([each[policy] for each in logs])
            for policy in options.policies}


def main():
    options = parse_arguments(sys.argv[1:])
    # Before the runs: what is checked out may change meanwhile.
    results = {"commit": record.commit(), "seeds": options.seeds, "cases": {}}
    for case in options.cases:
        logs = simulate_case(options, case)
        results["cases"][case] = steps_report.EVALUATE[case](logs)
        print(f"{case}: done", flush=True)
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "steps.json"), "w",
              encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    with open(os.path.join(options.out, "steps.md"), "w",
              encoding="utf-8") as file:
        file.write(steps_report.markdown(results))
    print(f"wrote {options.out}/steps.md")
    return 0


if __name__ == "__main__":
    driver.run("steps", main)
