"""What the frontend costs, measured on running processes.

    frontend_cost.py query     CPU and added latency; none, coded
    frontend_cost.py dispatch  from a client's send to a worker; none, coded
    frontend_cost.py memory    RSS from 10^4 to 10^6 queries, 1 % never answered
    frontend_cost.py restart   time until a killed worker takes work again

Workers answer at their own speed (not paced). Each figure is the median of
the repeats with the least and the largest beside it; candidates alternate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.demo.run_demo import RECIPE, write  # noqa: E402
from experiments.harness.frontend import (  # noqa: E402
    Metrics, wait_until_ready)
from experiments.harness.processes import ProcessSet  # noqa: E402

MODEL = demo_bundles.MODEL
DEADLINE = "500ms"


class Bench:
    def __init__(self, args):
        self._args = args
        self._paths = demo_bundles.ensure_bundles(
            args.bin, args.data, args.cache, RECIPE)

    def binary(self, name):
        return os.path.join(self._args.bin, name)

    def priority(self):
        return ["chrt", "--fifo", "1"] if self._args.realtime else []

    def bundle(self, role):
        return self._paths[role]

    def start_worker(self, processes, name, bundles, bind="tcp://127.0.0.1:0",
                     faults=None):
        config = {
            "id": name, "bind": bind,
            "bundles": [{"path": self._paths[bundle]} for bundle in bundles]}
        if faults:
            config["faults"] = {"seed": 1, "events": [faults]}
        path = write(os.path.join(self._args.out, f"{name}.yaml"),
                     json.dumps(config))
        processes.start(name, [self.binary("parm-worker"), "--config", path,
                               "--log-level", "warn"])

    def start_frontend(self, processes, endpoints, policy):
        redundancy = {"policy": policy}
        if policy == "coded":
            redundancy["code"] = {"scheme": "sum", "k": 2, "r": 1}
        path = write(
            os.path.join(self._args.out, f"frontend-{policy}.yaml"),
            json.dumps({
                "workers": [{"endpoint": endpoint} for endpoint in endpoints],
                "models": [{"name": MODEL, "deadline": DEADLINE,
                            "redundancy": redundancy}]}))
        name = f"frontend-{policy}"
        processes.start(name, [
            *self.priority(), self.binary("parm-frontend"), "--config", path,
            "--http-port", "0", "--metrics-port", "0"])
        address = processes.wait_ready(name)
        wait_until_ready(address["http"], MODEL)
        return name, address

    def load_command(self, address, pid, rate, seconds, seed, out):
        return [self.binary("parm-load"), "--url", address["http"],
                "--model", MODEL, "--data", self._args.data,
                "--rate", str(rate), "--duration", f"{seconds}s",
                "--warmup", "1s", "--deadline", DEADLINE, "--seed", str(seed),
                "--process", str(pid), "--out", out]

    def load(self, address, pid, rate, seconds, seed):
        out = os.path.join(self._args.out, "load.json")
        status = subprocess.run(
            self.load_command(address, pid, rate, seconds, seed, out),
            stdout=subprocess.DEVNULL, check=False).returncode
        if status not in (0, 3):
            raise RuntimeError(f"parm-load ended with status {status}")
        return read_run(out)

    def direct_p50_us(self, endpoint):
        text = subprocess.run(
            [self.binary("parm-direct-call"), "--worker", endpoint,
             "--rate", str(self._args.rate), "--calls", "2000"],
            check=True, capture_output=True, text=True).stdout
        return json.loads(text)["p50_us"]


def read_run(path):
    with open(path, encoding="utf-8") as file:
        run = json.load(file)["runs"][0]
    if run["refused"]:
        print(f"frontend_cost: {run['refused']}", file=sys.stderr)
    return run


def resident_mb(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def spread(values, digits=1):
    """"median (least .. largest)"."""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} .. {max(values):.{digits}f})")


def measure_query(bench, args):
    """Two workers with both bundles serve both frontends, one at a time."""
    figures = {policy: {"cpu_us": [], "p50_us": [], "offered": [],
                        "achieved": []}
               for policy in ("none", "coded")}
    direct = []
    with ProcessSet(args.out) as processes:
        for name in ("w0", "w1"):
            bench.start_worker(processes, name, ("deployed", "parity"))
        endpoints = [processes.wait_ready(name)["zmq"]
                     for name in ("w0", "w1")]
        frontends = {policy: bench.start_frontend(processes, endpoints, policy)
                     for policy in figures}
        for repeat in range(args.repeats):
            direct.append(bench.direct_p50_us(endpoints[0]))
            for policy, (name, address) in frontends.items():
                run = bench.load(address, processes.pid(name), args.rate,
                                 args.seconds, seed=repeat + 1)
                row = figures[policy]
                row["cpu_us"].append(run["cpu_us_per_query"])
                row["p50_us"].append(run["latency_from_send_ms"]["p50"] * 1e3)
                row["offered"].append(run["offered_qps"])
                row["achieved"].append(run["achieved_qps"])
    for policy, row in figures.items():
        print(f"{policy}: offered {spread(row['offered'])} qps, achieved "
              f"{spread(row['achieved'])} qps")
        print(f"  CPU-us per query     {spread(row['cpu_us'])}")
        print(f"  p50 us               {spread(row['p50_us'])}")
        added = [p50 - call for p50, call in zip(row["p50_us"], direct)]
        print(f"  added p50 us         {spread(added)}")
    print(f"direct call p50 us     {spread(direct)}")


def measure_dispatch(bench, args):
    """parm-dispatch-delay is client and workers of a frontend of its own."""
    figures = {policy: {"p50_us": [], "p90_us": [], "p99_us": []}
               for policy in ("none", "coded")}
    for _ in range(args.repeats):
        for policy, row in figures.items():
            with ProcessSet(args.out) as processes:
                probe = processes.start("probe", [
                    *bench.priority(), bench.binary("parm-dispatch-delay"),
                    "--bundle", bench.bundle("deployed"),
                    "--bundle", bench.bundle("parity"),
                    "--rate", str(args.rate),
                    "--queries", str(round(args.rate * args.seconds))],
                    stdin=subprocess.PIPE)
                endpoints = processes.wait_ready("probe")["zmq"].split(",")
                _, address = bench.start_frontend(processes, endpoints, policy)
                os.set_blocking(probe.stdout.fileno(), True)
                text, _ = probe.communicate(
                    (address["http"] + "\n").encode(), timeout=600)
                result = json.loads(text)
                if result["stamped"] < result["queries"]:
                    print(f"frontend_cost: {policy}: {result}",
                          file=sys.stderr)
                for name, values in row.items():
                    values.append(result[name])
    for policy, row in figures.items():
        print(f"{policy}: offered {args.rate:.0f} qps, send to worker us: " +
              ", ".join(f"{name[:3]} {spread(values)}"
                        for name, values in row.items()))


def measure_memory(bench, args):
    """Two deployed workers and one parity worker, 1 % of tasks never answered.
    """
    faults = {"drop_probability": 0.01}
    with ProcessSet(args.out) as processes:
        roles = {"w0": "deployed", "w1": "deployed", "w2": "parity"}
        for name, bundle in roles.items():
            bench.start_worker(processes, name, (bundle,), faults=faults)
        endpoints = [processes.wait_ready(name)["zmq"] for name in roles]
        name, address = bench.start_frontend(processes, endpoints, "coded")
        out = os.path.join(args.out, "load.json")
        load = processes.start("load", bench.load_command(
            address, processes.pid(name), args.rate,
            round(args.queries / args.rate), seed=1, out=out) +
            # All connections from the start: a stall of a busy machine would
            # open more of them, and each keeps its buffers.
            ["--connections", "64", "--max-connections", "64"])
        goals = [10_000, 30_000, 100_000, 300_000, 1_000_000]
        print("queries    RSS MB  tables  open tasks")
        first_mb = None
        while load.poll() is None:
            metrics = Metrics.scrape(address["metrics"])
            queries = metrics.total("parm_queries_total")
            if goals and queries >= goals[0]:
                goals.pop(0)
                rss_mb = resident_mb(processes.pid(name))
                first_mb = first_mb or rss_mb
                print(f"{queries:9.0f}  {rss_mb:6.1f}  "
                      f"{metrics.total('parm_table_entries'):6.0f}  "
                      f"{metrics.total('parm_table_entries', table='tasks'):6.0f}",
                      flush=True)
            time.sleep(0.5)
        rss_mb = resident_mb(processes.pid(name))
        run = read_run(out)
        print(f"at the end {rss_mb:.1f} MB, {rss_mb / first_mb - 1:+.1%}; "
              f"offered {run['offered_qps']:.0f}, achieved "
              f"{run['achieved_qps']:.0f} qps; {run['answers']}")


def measure_restart(bench, args):
    """From the start of the new process until the frontend calls the model,
    which only this worker serves, ready.
    """
    ready_s, serving_s = [], []
    with ProcessSet(args.out) as processes:
        bench.start_worker(processes, "w0", ("deployed",))
        endpoint = processes.wait_ready("w0")["zmq"]
        _, address = bench.start_frontend(processes, [endpoint], "none")
        for _ in range(args.repeats):
            processes.kill("w0")
            time.sleep(1)
            start = time.monotonic()
            bench.start_worker(processes, "w0", ("deployed",), bind=endpoint)
            processes.wait_ready("w0")
            ready_s.append(time.monotonic() - start)
            wait_until_ready(address["http"], MODEL)
            serving_s.append(time.monotonic() - start)
    added = [s - r for s, r in zip(serving_s, ready_s)]
    print(f"worker says ready after s      {spread(ready_s, 2)}")
    print(f"frontend serves by it after s  {spread(serving_s, 2)}")
    print(f"the frontend's part, s         {spread(added, 2)}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("query", "dispatch", "memory",
                                         "restart"))
    parser.add_argument("--rate", type=float, default=None,
                        help="queries per second (500; memory: 1500)")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--realtime", action="store_true",
                        help="frontend and probe get a real-time priority:\n"
                        "for a machine that is not quiet")
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--bin", default=os.path.join(ROOT,
                                                      "build/release/bin"))
    parser.add_argument("--cache", default=os.path.join(ROOT,
                                                        "build/demo/bundles"))
    parser.add_argument("--data",
                        default="idx:/usr/share/datasets/fashion-mnist")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    args = parser.parse_args()
    if args.rate is None:
        args.rate = 1500 if args.what == "memory" else 500
    os.makedirs(args.out, exist_ok=True)
    measure = {"query": measure_query, "dispatch": measure_dispatch,
               "memory": measure_memory,
               "restart": measure_restart}[args.what]
    measure(Bench(args), args)


if __name__ == "__main__":
    main()
