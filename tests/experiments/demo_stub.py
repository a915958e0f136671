"""Stands for parm-train, parm-worker, parm-frontend and parm-load under their
names, so that demo_signals_test.py need not train or serve anything.

Notes its process id in $STUB_FOLDER/pids, and each training in `trained`. The
program that $STUB_HANG names does nothing but wait. While there is a file
`refuse` the worker refuses bundles; a training removes it.
"""

import http.server
import os
import signal
import sys
import time

FOLDER = os.environ["STUB_FOLDER"]


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def note(file_name, text):
    with open(os.path.join(FOLDER, file_name), "a", encoding="utf-8") as file:
        file.write(text + "\n")


def wait_for_the_end():
    while True:
        time.sleep(60)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def train():
    if sys.argv[1] == "evaluate":
        write(option("--json"), "{}")
        write(option("--logits"), "")
        return 0
    note("trained", sys.argv[1])
    write(os.path.join(option("--out"), "bundle.yaml"),
          "measured: {relative_cost: 1}")
    refusal = os.path.join(FOLDER, "refuse")
    if os.path.exists(refusal):
        os.remove(refusal)
    return 0


def worker():
    if "--check-config" in sys.argv:
        return int(os.path.exists(os.path.join(FOLDER, "refuse")))
    print("parm-worker ready zmq=tcp://127.0.0.1:1", flush=True)
    return wait_for_the_end()


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


def main():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    name = os.path.basename(sys.argv[0])
    note("pids", f"{os.getpid()} {name}")
    if name == os.environ.get("STUB_HANG") and "--check-config" not in sys.argv:
        wait_for_the_end()
    return {"parm-train": train, "parm-worker": worker,
            "parm-frontend": frontend, "parm-load": wait_for_the_end}[name]()


if __name__ == "__main__":
    sys.exit(main())
