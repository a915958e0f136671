"""Stands for parm-train, parm-worker, parm-frontend and parm-load under their
names, so that drivers can be tried without training or serving.

Notes its process id in $STUB_FOLDER/pids, and each training in `trained`. The
program that $STUB_HANG names does nothing but wait. Files in that folder say
what goes wrong: `refuse`: the worker refuses bundles, until a training removes
it; `worker_dies`: no worker starts; `port_in_use`: no worker starts at an address
that was named; `loads_that_end`: after so many loads they never end.
"""

import http.server
import json
import os
import signal
import sys
import time

FOLDER = os.environ["STUB_FOLDER"]


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def path(name):
    return os.path.join(FOLDER, name)


def write(file_name, text):
    os.makedirs(os.path.dirname(file_name), exist_ok=True)
    with open(file_name, "w", encoding="utf-8") as file:
        file.write(text)


def note(name, line):
    with open(path(name), "a", encoding="utf-8") as file:
        file.write(line + "\n")


def lines_of(name):
    with open(path(name), encoding="utf-8") as file:
        return file.read().splitlines()


def wait_for_the_end():
    while True:
        time.sleep(60)


def train():
    if sys.argv[1] == "evaluate":
        write(option("--json"), "{}")
        write(option("--logits"), "")
        return
    note("trained", sys.argv[1])
    write(os.path.join(option("--out"), "bundle.yaml"),
          "measured: {relative_cost: 1}")
    if os.path.exists(path("refuse")):
        os.remove(path("refuse"))


def worker():
    if "--check-config" in sys.argv:
        sys.exit(int(os.path.exists(path("refuse"))))
    with open(option("--config"), encoding="utf-8") as file:
        address = json.load(file)["bind"]
    if os.path.exists(path("worker_dies")):
        sys.exit("parm-worker: the accelerator is on fire")
    if not address.endswith(":0") and os.path.exists(path("port_in_use")):
        sys.exit(f"parm-worker: cannot bind {address}: Address already in use")
    print("parm-worker ready zmq=tcp://127.0.0.1:1", flush=True)
    wait_for_the_end()


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def frontend():
    server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
    address = f"127.0.0.1:{server.server_port}"
    print(f"parm-frontend ready http={address} metrics={address}", flush=True)
    server.serve_forever()


def figures(names):
    return dict.fromkeys(names.split(), 21.0)


def load():
    if "--check-record" in sys.argv:
        os.execv(os.environ["STUB_LOAD"], [os.environ["STUB_LOAD"],
                                           *sys.argv[1:]])
    note("loads", " ".join(sys.argv[1:]))
    if (os.path.exists(path("loads_that_end")) and
            len(lines_of("loads")) > int(lines_of("loads_that_end")[0])):
        wait_for_the_end()
    # As long as the warm-up of a load that takes a second to start.
    time.sleep(1.2 + float(option("--warmup").removesuffix("s")))
    latency = figures("p50 p90 p99 p99_9 p99_9_low p99_9_high max")
    run = {
        "policy": option("--policy"), "code": None,
        "scenario": option("--scenario"), "load": float(option("--load")),
        "workers": int(option("--workers")), "repeat": int(option("--repeat")),
        "offered_qps": 600.0, "achieved_qps": 600.0, "queries": 600,
        "answers": {**dict.fromkeys(
            "hedged reconstructed exit backup default error lost".split(), 0),
            "exact": 600},
        "late_share": 0.0, "shed": 0, "latency_ms": latency,
        "latency_from_send_ms": latency,
        "tail_mass": dict.fromkeys(
            ["over_2_service", "over_3_service", "over_5_service"], 0.0),
        "send_lag_ms": {**figures("p50 p99 p99_9 max"), "over_1ms_share": 0.0},
        "accuracy": dict.fromkeys(
            "deployed delivered exact reconstructed".split()),
        "extra_jobs_per_query": 0.0, "extra_service_per_query": None,
        "wasted_service_per_query": None,
        "cpu_us_per_query": None, "rss_mb": None, "refused": None}
    write(option("--out"), json.dumps({
        "name": "live", "commit": "stub", "machine": "stub", "seed": 1,
        "started": "2026-01-31T12:00:00Z", "config": {}, "runs": [run]}))
    write(option("--log"), "due_s,latency_ms,outcome\n" + "".join(
        f"{i / 100},21.0,exact\n" for i in range(600)))


def main():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    name = os.path.basename(sys.argv[0])
    note("pids", f"{os.getpid()} {name}")
    if name == os.environ.get("STUB_HANG") and "--check-config" not in sys.argv:
        wait_for_the_end()
    {"parm-train": train, "parm-worker": worker, "parm-frontend": frontend,
     "parm-load": load}[name]()


if __name__ == "__main__":
    main()
