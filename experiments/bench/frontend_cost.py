"""What the frontend costs, measured on running processes.

    frontend_cost.py query     CPU and added latency; none, coded
    frontend_cost.py dispatch  from a client's send to a worker; none, coded
    frontend_cost.py memory    RSS from 10^4 to 10^6 queries, 1 % never answered
    frontend_cost.py restart   time until a killed worker takes work again

Workers answer at their own speed (not paced). Each figure is the median of
the repeats with the least and the largest beside it (not an interval of any
probability). Candidates alternate, and so does who is first. A run whose load
could not be sent on time is left out, and told. Writes OUT/cost_WHAT.json, a
run record. Exit status: 0 done, 1 failed, 3 every run of a figure was refused.
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
from experiments.harness import driver, usage  # noqa: E402
from experiments.harness.frontend import (  # noqa: E402
    Metrics, wait_until_ready)
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402
from experiments.harness.served_load import write_json  # noqa: E402

MODEL = demo_bundles.MODEL
DEADLINE = "500ms"
RECIPE = {
    "deployed": ["--arch", "mlp", "--seed", "1"],
    "parity": ["--scheme", "sum", "--k", "2", "--seed", "1"],
}


class AllRefused(Exception):
    """No run is left of which a figure could be told."""


class Bench:
    def __init__(self, args):
        self._args = args
        self.record = RunRecord(f"cost_{args.what}", 1, {
            name: getattr(args, name)
            for name in ("rate", "seconds", "repeats", "realtime", "queries")})
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
        path = write_json(os.path.join(self._args.out, f"{name}.yaml"),
                          config)
        processes.start(name, [self.binary("parm-worker"), "--config", path,
                               "--log-level", "warn"])

    def start_frontend(self, processes, endpoints, policy):
        redundancy = {"policy": policy}
        if policy == "coded":
            redundancy["code"] = {"scheme": "sum", "k": 2, "r": 1}
        path = write_json(
            os.path.join(self._args.out, f"frontend-{policy}.yaml"), {
                "workers": [{"endpoint": endpoint} for endpoint in endpoints],
                "models": [{"name": MODEL, "deadline": DEADLINE,
                            "redundancy": redundancy}]})
        name = f"frontend-{policy}"
        processes.start(name, [
            *self.priority(), self.binary("parm-frontend"), "--config", path,
            "--http-port", "0", "--allow-grpc=false", "--metrics-port", "0"])
        address = processes.wait_ready(name)
        wait_until_ready(address["http"], MODEL)
        return name, address

    def load_command(self, policy, address, pid, seconds, repeat, out):
        command = [
            self.binary("parm-load"), "--url", address["http"],
            "--model", MODEL, "--data", self._args.data,
            "--rate", str(self._args.rate), "--duration", f"{seconds}s",
            "--warmup", "1s", "--deadline", DEADLINE,
            "--seed", str(repeat + 1), "--repeat", str(repeat),
            "--policy", policy, "--scenario", self._args.what,
            "--process", str(pid), "--out", out]
        if policy == "coded":
            command += ["--code", "sum:2:1"]
        return command

    def load(self, processes, policy, address, pid, repeat):
        """One run, which the record takes; None if it was refused."""
        out = os.path.join(self._args.out, "load.json")
        command = self.load_command(policy, address, pid, self._args.seconds,
                                    repeat, out)
        status = processes.run("load", command, stdout=subprocess.DEVNULL)
        if status not in (0, 3):
            raise RuntimeError(f"parm-load ended with status {status}")
        return self.take(out)

    def take(self, path):
        with open(path, encoding="utf-8") as file:
            run = json.load(file)["runs"][0]
        self.record.add(run)
        if run["refused"]:
            print(f"frontend_cost: left out: {run['refused']}",
                  file=sys.stderr)
            return None
        return run

    def tell(self, label, values, digits=1):
        """"median (least .. largest)" of what was not refused."""
        if not values:
            raise AllRefused(f"{label}: every run was refused")
        text = (f"{statistics.median(values):.{digits}f} "
                f"({min(values):.{digits}f} .. {max(values):.{digits}f})")
        print(f"{label:32}{text} of {len(values)}")
        self.record.add_to_config(label, values)

    def direct_call(self, endpoint):
        """Latency of a worker without a frontend, and what a trip to it costs
        its caller's CPU."""
        text = subprocess.run(
            [self.binary("parm-direct-call"), "--worker", endpoint,
             "--rate", str(self._args.rate), "--calls", "2000"],
            check=True, capture_output=True, text=True).stdout
        return json.loads(text)


def alternating(candidates, repeat):
    """Who is first changes: the machine may warm up, or tire."""
    candidates = list(candidates)
    return candidates if repeat % 2 == 0 else candidates[::-1]


def measure_query(bench, args):
    """Two workers with both bundles serve both frontends, one at a time."""
    names = ("offered qps", "achieved qps", "CPU-us per query", "p50 us",
             "added p50 us")
    figures = {policy: {name: [] for name in names}
               for policy in ("none", "coded")}
    direct = {"p50_us": [], "cpu_us_per_call": []}
    with ProcessSet(args.out) as processes:
        for name in ("w0", "w1"):
            bench.start_worker(processes, name, ("deployed", "parity"))
        endpoints = [processes.wait_ready(name)["zmq"]
                     for name in ("w0", "w1")]
        frontends = {policy: bench.start_frontend(processes, endpoints, policy)
                     for policy in figures}
        for repeat in range(args.repeats):
            called = bench.direct_call(endpoints[0])
            for name, values in direct.items():
                values.append(called[name])
            for policy in alternating(figures, repeat):
                name, address = frontends[policy]
                run = bench.load(processes, policy, address,
                                 processes.pid(name), repeat)
                if run is None:
                    continue
                p50_us = run["latency_from_send_ms"]["p50"] * 1e3
                for name, value in zip(names, (
                        run["offered_qps"], run["achieved_qps"],
                        run["cpu_us_per_query"], p50_us,
                        p50_us - called["p50_us"])):
                    figures[policy][name].append(value)
    for name, values in direct.items():
        bench.tell(f"direct call: {name}", values)
    for policy, row in figures.items():
        for name, values in row.items():
            bench.tell(f"{policy}: {name}", values)


def measure_dispatch(bench, args):
    """parm-dispatch-delay is client and workers of a frontend of its own."""
    figures = {policy: {"p50_us": [], "p90_us": [], "p99_us": []}
               for policy in ("none", "coded")}
    for repeat in range(args.repeats):
        for policy in alternating(figures, repeat):
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
                for name, values in figures[policy].items():
                    values.append(result[name])
    for policy, row in figures.items():
        for name, values in row.items():
            bench.tell(f"{policy}: send to worker {name}", values)


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
            "coded", address, processes.pid(name),
            round(args.queries / args.rate), repeat=0, out=out) +
            # All connections from the start: a stall of a busy machine would
            # open more of them, and each keeps its buffers.
            ["--connections", "64", "--max-connections", "64"])
        goals = [10_000, 30_000, 100_000, 300_000, 1_000_000]
        print("queries    RSS MB  tables  open tasks")
        first_mb = None
        by_queries = {}
        while load.poll() is None:
            metrics = Metrics.scrape(address["metrics"])
            queries = metrics.total("parm_queries_total")
            if goals and queries >= goals[0]:
                goals.pop(0)
                rss_mb = usage.resident_mb(processes.pid(name))
                first_mb = first_mb or rss_mb
                by_queries[round(queries)] = rss_mb
                print(f"{queries:9.0f}  {rss_mb:6.1f}  "
                      f"{metrics.total('parm_table_entries'):6.0f}  "
                      f"{metrics.total('parm_table_entries', table='tasks'):6.0f}",
                      flush=True)
            time.sleep(0.5)
        if load.returncode not in (0, 3):
            raise RuntimeError(f"parm-load ended with status "
                               f"{load.returncode}")
        rss_mb = usage.resident_mb(processes.pid(name))
        bench.record.add_to_config("rss_mb_by_queries", by_queries)
        run = bench.take(out)
        if run is None or first_mb is None:
            raise AllRefused("memory: the load came late, or was too short")
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
    bench.tell("worker says ready after s", ready_s, 2)
    bench.tell("frontend serves by it after s", serving_s, 2)
    bench.tell("the frontend's part, s", added, 2)


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
    # Configurations name paths, and count relative ones from their own place.
    for name in ("out", "bin", "cache"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    os.makedirs(args.out, exist_ok=True)
    measure = {"query": measure_query, "dispatch": measure_dispatch,
               "memory": measure_memory,
               "restart": measure_restart}[args.what]
    bench = Bench(args)
    status = 0
    try:
        measure(bench, args)
    except AllRefused as error:
        print(f"frontend_cost: {error}", file=sys.stderr)
        status = 3
    bench.record.write(os.path.join(args.out, f"cost_{args.what}.json"),
                       bench.binary("parm-load"))
    return status


if __name__ == "__main__":
    driver.run("frontend_cost", main)
