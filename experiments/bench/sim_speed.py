"""How fast parm-sim is, and how its cost grows with the number of servers.

    sim_speed.py [--servers 8 24 100 1000 10000] [--queries 300000] [--repeats 3]

CPU time in user mode of whole runs, one process at a time: start, two seconds of
warm-up and the measured queries of `slow_jobs_1` at load 0.5; each figure is the
least of the repeats, as others' work only adds. Writes OUT/sim_speed.json, a run
record, and OUT/sim_speed.md. Exit status: 0 done, 1 failed.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.bench import hop_runs  # noqa: E402
from experiments.harness import driver  # noqa: E402

SCENARIO = os.path.join(ROOT, "experiments", "scenarios", "slow_jobs_1.yaml")
LOAD = 0.5
SERVICE_S = 0.02
WARM_UP_S = 2
GOAL_SERVERS, GOAL_PER_MINUTE = 100, 4e6


def user_s():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def simulate(args, policy, num_servers, record):
    """Microseconds a query, warm-up included."""
    out = os.path.join(args.out, "record.json")
    before = user_s()
    subprocess.run([
        os.path.join(args.bin, "parm-sim"), SCENARIO, "--policy", policy,
        "--load", str(LOAD), "--servers", str(num_servers), "--queries",
        str(args.queries), "--out", out], check=True,
        stdout=subprocess.DEVNULL)
    spent_s = user_s() - before
    with open(out, encoding="utf-8") as file:
        record.add(json.load(file)["runs"][0])
    queries = args.queries + WARM_UP_S * LOAD * num_servers / SERVICE_S
    return 1e6 * spent_s / queries


def measure(args, record):
    rows = [["policy", *(f"{n:,} servers" for n in args.servers),
             f"most over least, log N: {log_growth(args.servers):.1f}",
             f"M queries a minute, {GOAL_SERVERS} servers"]]
    for policy in args.policy or ["none", "hedge", "coded", "hybrid"]:
        us = {num_servers: min(simulate(args, policy, num_servers, record)
                               for _ in range(args.repeats))
              for num_servers in args.servers}
        record.add_to_config(f"{policy}: us a query", us)
        rows.append([policy, *(f"{us[n]:.2f} us" for n in args.servers),
                     f"{max(us.values()) / min(us.values()):.1f}",
                     speed_text(us.get(GOAL_SERVERS))])
    return rows, 0


def speed_text(us):
    """Of microseconds a query."""
    if us is None:
        return "-"
    reached = "reached" if 60e6 / us >= GOAL_PER_MINUTE else "missed"
    return f"{60 / us:.0f}; goal {GOAL_PER_MINUTE / 1e6:g}: {reached}"


def log_growth(servers):
    """Of the logarithm of the number of servers, from the fewest on."""
    return (math.log(max(servers)) / math.log(min(servers))
            if min(servers) > 1 else math.inf)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--servers", type=int, nargs="+",
                        default=[8, 24, 100, 1000, 10000])
    parser.add_argument("--queries", type=int, default=300_000)
    parser.add_argument("--policy", action="append",
                        help="instead of none, hedge, coded, hybrid")
    hop_runs.add_common_flags(parser, "build/bench/sim", repeats=3,
                              seconds=None)
    args = parser.parse_args()
    return hop_runs.run_bench("sim_speed", args, measure, load=LOAD,
                              queries=args.queries)


if __name__ == "__main__":
    driver.run("sim_speed", main)
