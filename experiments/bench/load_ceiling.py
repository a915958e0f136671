"""How fast parm-load can send: against a server that answers at once, the
largest rate at which no run is refused, and the CPU time of one query. Rates
go up in one repeat and down in the next. Writes OUT/load_ceiling.json, a run
record, which holds the refused runs too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.harness import driver  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_load(processes, args, url, rate, repeat):
    out = os.path.join(args.out, "load.json")
    status = processes.run("load", [
        os.path.join(args.bin, "parm-load"), "--url", url,
        "--model", "fashion", "--data", args.data, "--rate", rate,
        "--duration", f"{args.seconds}s", "--warmup", "1s",
        "--repeat", str(repeat), "--out", out], stdout=subprocess.DEVNULL)
    if status not in (0, 3):
        raise RuntimeError(f"parm-load ended with status {status}")
    with open(out, encoding="utf-8") as file:
        return json.load(file)["runs"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="1000,5000,10000,15000,20000,25000,"
                        "30000")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--realtime", action="store_true",
                        help="the server gets a real-time priority too, as "
                        "parm-load does: for a machine that is not quiet")
    parser.add_argument("--bin", default=os.path.join(ROOT,
                                                      "build/release/bin"))
    parser.add_argument("--data",
                        default="idx:/usr/share/datasets/fashion-mnist")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    args = parser.parse_args()
    args.out = os.path.abspath(args.out)
    rates = args.rates.split(",")
    record = RunRecord("load_ceiling", 1, {
        "rates": rates, "seconds": args.seconds, "repeats": args.repeats,
        "realtime": args.realtime})
    refused = set()
    with ProcessSet(args.out) as processes:
        priority = ["chrt", "--fifo", "1"] if args.realtime else []
        processes.start("server", [*priority, os.path.join(
            args.bin, "parm-null-server")])
        url = processes.wait_ready("server")["http"]
        print("offered  achieved  p50 us  send lag p99 us  over 1 ms  "
              "CPU s of parm-load  refused")
        for repeat in range(args.repeats):
            for rate in rates if repeat % 2 == 0 else rates[::-1]:
                cpu_before = children_cpu_s()
                run = run_load(processes, args, url, rate, repeat)
                record.add(run)
                if run["refused"]:
                    refused.add(rate)
                print(f"{run['offered_qps']:7.0f} {run['achieved_qps']:9.0f} "
                      f"{run['latency_ms']['p50'] * 1e3:7.0f} "
                      f"{run['send_lag_ms']['p99'] * 1e3:16.0f} "
                      f"{run['send_lag_ms']['over_1ms_share']:10.4f} "
                      f"{children_cpu_s() - cpu_before:19.2f}  "
                      f"{'yes' if run['refused'] else 'no'}", flush=True)
    sent = [float(rate) for rate in rates if rate not in refused]
    print(f"largest rate of which no run was refused: "
          f"{max(sent, default=0):.0f}/s")
    record.write(os.path.join(args.out, "load_ceiling.json"),
                 os.path.join(args.bin, "parm-load"))


if __name__ == "__main__":
    driver.run("load_ceiling", main)
