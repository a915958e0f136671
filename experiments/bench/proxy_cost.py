"""What a proxy costs before model servers that nobody changed.

    proxy_cost.py [--repeats 5] [--seconds 5]

Four servers without a model (parm-null-server) stand behind everybody: HAProxy,
nginx, the frontend with `none`, which only passes on. Over HTTP the frontend
also codes: `hybrid` (sum, k = 2, parity on the same servers). Over gRPC there is
`bare`, the least that a proxy on the gRPC library can do
(parm-bare-grpc-proxy). `direct` is the load at the first server. For each size
of query the candidates take turns (A B C, B C A, ...); every figure is the
median of the repeats with the least and the largest beside it; what is added is
the difference to `direct` of the same repeat; a ratio is that of the medians,
with the range of the repeats' own. CPU is that of the proxy's process, all its
threads, by its CPU clock. HAProxy and nginx have one thread, keep
their connections and write no log; they retry nothing. Load over gRPC comes on
four connections.

Writes OUT/proxy_cost.json, a run record, and a Markdown table, proxy_cost.md.
Exit status: 0 done, 1 failed, 3 every run of a figure was refused, and it is
left out.
"""

import os
import sys
from functools import partial

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.bench import hop_runs, stub_bundles  # noqa: E402
from experiments.bench.hop_runs import (  # noqa: E402
    cpu_ratio, in_turns, of_same_repeat, text)
from experiments.harness import driver  # noqa: E402
from experiments.harness.haproxy import HaProxy  # noqa: E402
from experiments.harness.nginx import Nginx  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402

MODEL = stub_bundles.MODEL
NUM_SERVERS = 4
SHAPES = {"3 KB": (1, 28, 28), "12 KB": (3, 32, 32), "602 KB": (3, 224, 224)}
# Queries a second that two cores can serve beside the load.
RATES = {"http": {"3 KB": 2000, "12 KB": 2000, "602 KB": 150},
         "grpc": {"3 KB": 1000, "12 KB": 1000, "602 KB": 100}}
CANDIDATES = {"http": ("haproxy", "nginx", "none", "hybrid", "direct"),
              "grpc": ("bare", "haproxy", "nginx", "none", "direct")}
RIVAL = {"http": "haproxy", "grpc": "bare"}
# Most CPU time of the frontend, in that of the protocol's rival.
GOALS = {("http", "12 KB", "none"): 1.5, ("http", "602 KB", "none"): 1.2,
         **{("grpc", size, "none"): 1.2 for size in SHAPES}}
READY_PATH = {"http": "/v2/health/ready", "grpc": None}


class SizeBench(hop_runs.SizeBench):
    """Of one protocol: its servers and proxies."""

    def __init__(self, args, protocol, size, processes, folder):
        super().__init__(args, SHAPES[size], processes, folder)
        self._protocol = protocol
        self._size = size
        self._servers = [self._start_server(index)
                         for index in range(NUM_SERVERS)]
        start = {"haproxy": self._start_haproxy, "nginx": self._start_nginx,
                 "bare": self._start_bare,
                 "none": partial(self._start_frontend, "none"),
                 "hybrid": partial(self._start_frontend, "hybrid"),
                 "direct": lambda: (None, self._servers[0], None)}
        for candidate in CANDIDATES[protocol]:
            self.hops[candidate] = start[candidate]()

    def _start_server(self, index):
        return self.start(
            f"server{index}", "parm-null-server", "--model", MODEL,
            "--input-name", "x", "--shape", ",".join(map(str, self._shape)),
            "--classes", "2",
            *(["--grpc-port", "0"] if self._protocol == "grpc" else [])
        )[self._protocol]

    def _start_bare(self):
        servers = []
        for server in self._servers:
            servers += ["--server", server]
        ready = self.start("bare", "parm-bare-grpc-proxy", *servers)
        return "bare", ready["grpc"], None

    def _start_haproxy(self):
        address = HaProxy(self._processes, self._folder).start(
            self._servers, READY_PATH[self._protocol], retries=0,
            grpc=self._protocol == "grpc")
        return HaProxy.NAME, address, None

    def _start_nginx(self):
        address = Nginx(self._processes, self._folder).start(
            self._servers, READY_PATH[self._protocol],
            grpc=self._protocol == "grpc")
        return Nginx.NAME, address, None

    def _start_frontend(self, policy):
        serves = {}
        redundancy = {"policy": policy}
        if policy != "none":
            deployed, parity = stub_bundles.write_bundles(self._folder,
                                                          self._shape)
            serves = {"serves": [
                {"name": MODEL, "bundle": deployed},
                {"name": MODEL, "model": MODEL + "-parity",
                 "bundle": parity}]}
            redundancy["code"] = {"scheme": "sum", "k": 2}
        name, ready = self.start_frontend(
            policy, redundancy,
            [{"endpoint": f"{self._protocol}://{each}", **serves}
             for each in self._servers], "60s",
            "--grpc-port 0" if self._protocol == "grpc" else
            "--allow-grpc=false")
        return name, ready[self._protocol], ready["metrics"]

    def run(self, candidate, repeat):
        flags = {"connections": 4} if self._protocol == "grpc" else {}
        return self.load(
            candidate, self._protocol,
            rate=self._args.rate or RATES[self._protocol][self._size],
            seed=repeat + 1, repeat=repeat,
            scenario=f"{self._protocol}, {self._size}", workers=NUM_SERVERS,
            **flags)


def latency_cells(entries, direct):
    """p50, added p50, p99, added p99."""
    cells = []
    for name in ("p50", "p99"):
        value = lambda run: run["latency_from_send_ms"][name] * 1e3  # noqa: E731, B023
        added = of_same_repeat(entries, direct,
                               lambda a, b: value(a) - value(b))
        cells += [text([value(run) for run in entries]),
                  text(added) if added and entries is not direct else "-"]
    return cells


def summary_rows(protocol, size, runs, record):
    """Table rows of one size; `runs`: candidate -> entries, not refused."""
    rows = []
    rival = RIVAL[protocol]
    for candidate, entries in runs.items():
        cpu = ratio = verdict = "-"
        if candidate != "direct":
            cpu = text([run["cpu_us_per_query"] for run in entries], 1)
        if candidate != "direct" and rival in runs:
            value, least, largest = cpu_ratio(entries, runs[rival])
            ratio = f"{value:.2f} ({least:.2f} .. {largest:.2f})"
            record.add_to_config(
                f"{protocol}, {size}: {candidate} over {rival}", value)
            goal = GOALS.get((protocol, size, candidate))
            if goal is not None:
                reached = "reached" if value <= goal else "missed"
                verdict = f"{goal:g}: {reached}"
        rows.append([protocol, size, candidate, str(len(entries)), cpu, ratio,
                     verdict, *latency_cells(entries, runs.get("direct", []))])
    return rows


def measure(args, record):
    rows = [["protocol", "query", "proxy", "runs", "CPU-us per query",
             "over haproxy, gRPC: bare", "goal", "p50 us", "added p50 us",
             "p99 us", "added p99 us"]]
    status = 0
    for protocol in args.protocol or RATES:
        for size in args.size or SHAPES:
            folder = os.path.join(args.out, protocol, size.replace(" ", ""))
            with ProcessSet(folder) as processes:
                bench = SizeBench(args, protocol, size, processes, folder)
                runs = in_turns("proxy_cost", f"{protocol}, {size}",
                                CANDIDATES[protocol], args.repeats, bench.run,
                                record)
                processes.check_alive()
            if len(runs) < len(CANDIDATES[protocol]):
                status = 3
            rows += summary_rows(protocol, size, runs, record)
    return rows, status


def main():
    parser = hop_runs.arguments(__doc__, "build/bench/proxy", SHAPES)
    parser.add_argument("--protocol", action="append", choices=list(RATES),
                        help="instead of all")
    parser.add_argument("--rate", type=float,
                        help="queries per second, instead of each size's own")
    args = parser.parse_args()
    return hop_runs.run_bench("proxy_cost", args, measure,
                              rates=args.rate or RATES)


if __name__ == "__main__":
    driver.run("proxy_cost", main)
