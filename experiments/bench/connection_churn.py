"""Whether clients that come and go leave anything behind in the frontend.

    connection_churn.py [--connections 1000] [--seconds 60] [--tls]

1,000 connections to one parm-frontend, each of which at random asks, waits, ends
in order, is reset, ends in the middle of a request, sends what is no request, or
(with --tls) goes in the middle of its handshake; then another takes its place.
Meanwhile the frontend's memory and open descriptors are read every second.
Its worker answers at its own speed. Writes OUT/connection_churn.json.

Exit status: 0; 1 if memory has grown by more than --growth-mb between the
second and the last third of the time, if a descriptor or a connection is left
when all clients have gone, if a reply was wrong, or if more than one connection
in twenty failed.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.bench import stub_bundles  # noqa: E402
from experiments.harness.frontend import (  # noqa: E402
    Metrics, wait_until_ready)
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import commit  # noqa: E402
from experiments.harness.served_load import write_json  # noqa: E402

NUM_VALUES = 784
# What a connection does in the end, and how often.
ENDS = {"orderly": 6, "reset": 3, "half_a_request": 2, "garbage": 1,
        "half_a_handshake": 1}
MEAN_PAUSE_S = 0.5
MAX_REQUESTS = 6
MAX_FAILED_SHARE = 0.05


def infer_request():
    tensor = struct.pack(f"<{NUM_VALUES}f", *range(NUM_VALUES))
    head = json.dumps({
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, NUM_VALUES],
                    "parameters": {"binary_data_size": len(tensor)}}],
        "parameters": {"binary_data_output": True}}).encode()
    return (f"POST /v2/models/{stub_bundles.MODEL}/infer HTTP/1.1\r\n"
            f"Host: churn\r\nInference-Header-Content-Length: {len(head)}\r\n"
            f"Content-Length: {len(head) + len(tensor)}\r\n\r\n"
            ).encode() + head + tensor


class Churn:
    """The clients."""

    def __init__(self, address, args):
        self._address = address
        self._random = random.Random(args.seed)
        self._request = infer_request()
        self._tls = None
        if args.tls:
            self._tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self.counts = {name: 0 for name in ("connections", "replies", "wrong",
                                            "failed", *ENDS)}

    async def client(self, until):
        """One after the other in one place, until it is time."""
        while time.monotonic() < until:
            await self._pause()
            try:
                await self._connection(until)
            except (OSError, asyncio.IncompleteReadError):
                self.counts["failed"] += 1

    async def _pause(self):
        await asyncio.sleep(self._random.expovariate(1 / MEAN_PAUSE_S))

    async def _connection(self, until):
        self.counts["connections"] += 1
        end = self._random.choices(list(ENDS), ENDS.values())[0]
        if end == "half_a_handshake" and self._tls is None:
            end = "orderly"
        self.counts[end] += 1
        host, port = self._address
        if end == "half_a_handshake":
            return await self._break_off(host, port)
        reader, writer = await asyncio.open_connection(
            host, port, ssl=self._tls)
        try:
            for _ in range(self._random.randrange(MAX_REQUESTS)):
                if time.monotonic() > until:
                    break
                await self._ask(reader, writer)
                await self._pause()
            await self._end(end, reader, writer)
        finally:
            writer.transport.abort()

    async def _break_off(self, host, port):
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        await self._pause()
        writer.transport.abort()

    async def _ask(self, reader, writer):
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length: "):
                length = int(line.split()[1])
        body = await reader.readexactly(length)
        self.counts["replies"] += 1
        # Two outputs of 4 bytes each, behind the JSON.
        if not head.startswith(b"HTTP/1.1 200") or len(body) < 8:
            self.counts["wrong"] += 1

    async def _end(self, end, reader, writer):
        if end == "half_a_request":
            size = self._random.randrange(1, len(self._request))
            writer.write(self._request[:size])
            await writer.drain()
        elif end == "garbage":
            writer.write(self._random.randbytes(300) + b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):  # as it deserves
                await reader.read()
        elif end == "reset":
            writer.write(self._request)
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self._tls is None:
            writer.write_eof()
            await reader.read()
        else:
            writer.close()  # with TLS's own farewell


class Watch:
    """Memory and descriptors of a process, second by second."""

    def __init__(self, pid):
        self._pid = pid
        self.rss_mb = []
        self.descriptors = []

    def look(self):
        with open(f"/proc/{self._pid}/statm", encoding="utf-8") as file:
            pages = int(file.read().split()[1])
        self.rss_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        self.descriptors.append(len(os.listdir(f"/proc/{self._pid}/fd")))

    def settled(self, most=None, timeout_s=60):
        """Descriptors and memory once those of scrapes have ended: they stay
        the same for a second, and are `most` at most if that comes in time.
        """
        until = time.monotonic() + timeout_s
        self.look()
        while time.monotonic() < until:
            time.sleep(1)
            self.look()
            before, now = self.descriptors[-2:]
            if before == now and (most is None or now <= most):
                break
        seen = self.descriptors[-1], self.rss_mb[-1]
        self.descriptors, self.rss_mb = [], []
        return seen

    async def run(self, until):
        while time.monotonic() < until:
            self.look()
            await asyncio.sleep(1)

    def growth_mb(self):
        """From the second third of the time to the last one."""
        third = max(1, len(self.rss_mb) // 3)
        return (statistics.median(self.rss_mb[-third:]) -
                statistics.median(self.rss_mb[third:2 * third] or
                                  self.rss_mb[:third]))


def make_certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", os.path.join(folder, "server.key"),
         "-out", os.path.join(folder, "server.pem")],
        check=True, capture_output=True)


def start(processes, args):
    deployed, _ = stub_bundles.write_bundles(args.out, [NUM_VALUES])
    worker = write_json(os.path.join(args.out, "worker.yaml"), {
        "id": "w", "bind": "tcp://127.0.0.1:0",
        "bundles": [{"path": os.path.abspath(deployed)}]})
    processes.start("worker", [os.path.join(args.bin, "parm-test-worker"),
                               "--config", worker, "--log-level", "warn"])
    endpoint = processes.wait_ready("worker")["zmq"]
    config = {
        "workers": [{"endpoint": endpoint, "max_in_flight": 1000}],
        "models": [{"name": stub_bundles.MODEL, "deadline": "60s"}],
        "health": {"heartbeat_timeout": "60s"},
        "http": {"max_connections": 2 * args.connections}}
    if args.tls:
        make_certificate(args.out)
        config["http"]["tls"] = {"certificate_chain": "server.pem",
                                 "private_key": "server.key"}
    frontend = write_json(os.path.join(args.out, "frontend.yaml"), config)
    processes.start("frontend", [
        os.path.join(args.bin, "parm-frontend"), "--config", frontend,
        "--http-port", "0", "--metrics-port", "0", "--allow-grpc=false",
        "--log-level", "warn"])
    return processes.wait_ready("frontend")


def await_metric(address, name, value, timeout_s=60):
    """Whether it comes to that."""
    until = time.monotonic() + timeout_s
    while Metrics.scrape(address).total(name) != value:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


async def churn(clients, watch, args):
    until = time.monotonic() + args.seconds
    await asyncio.gather(watch.run(until),
                         *(clients.client(until)
                           for _ in range(args.connections)))


def measure(args):
    with ProcessSet(args.out) as processes:
        address = start(processes, args)
        if not await_metric(address["metrics"], "parm_ready", 1):
            raise RuntimeError("the frontend is not ready")
        if not args.tls:
            wait_until_ready(address["http"], stub_bundles.MODEL)
        host, _, port = address["http"].rpartition(":")
        clients = Churn((host, int(port)), args)
        watch = Watch(processes.pid("frontend"))
        before, rss_mb_before = watch.settled()
        asyncio.run(churn(clients, watch, args))
        gone = (await_metric(address["metrics"], "parm_http_connections", 0) and
                await_metric(address["metrics"], "parm_queries_in_flight", 0))
        after, rss_mb_after = Watch(processes.pid("frontend")).settled(before)
        processes.check_alive()
        metrics = Metrics.scrape(address["metrics"])
        return {
            "commit": commit(), "seed": args.seed, "tls": args.tls,
            "connections_at_once": args.connections, "seconds": args.seconds,
            "clients": clients.counts, "rss_mb": watch.rss_mb,
            "growth_mb": watch.growth_mb(),
            "descriptors": {"before": before, "most": max(watch.descriptors),
                            "after": after},
            "rss_mb_before": rss_mb_before,
            "rss_mb_after": rss_mb_after, "all_gone": gone,
            "accepted": metrics.total("parm_http_connections_total",
                                      event="accepted"),
            "abandoned": metrics.total("parm_http_abandoned_total"),
            "queries": metrics.total("parm_queries_total"),
            "left": metrics.total("parm_queries_in_flight")}


def summary(record):
    """Memory and descriptors in one line."""
    descriptors = record["descriptors"]
    return (f"{record['connections_at_once']} clients, "
            f"{record['seconds']:g} s: memory {record['rss_mb_before']:.1f} MB "
            f"before, {max(record['rss_mb']):.1f} at most, "
            f"{record['rss_mb_after']:.1f} after, from the second third to the "
            f"last {record['growth_mb']:+.1f}; descriptors "
            f"{descriptors['before']} before, {descriptors['most']} at most, "
            f"{descriptors['after']} after")


def judge(record, args):
    """What is wrong, as sentences."""
    wrong = []
    if record["growth_mb"] > args.growth_mb:
        wrong.append(f"memory grew by {record['growth_mb']:.1f} MB")
    if record["descriptors"]["after"] > record["descriptors"]["before"]:
        wrong.append(f"descriptors are left: {record['descriptors']}")
    if not record["all_gone"] or record["left"]:
        wrong.append("connections or queries are left")
    if record["clients"]["wrong"] or not record["clients"]["replies"]:
        wrong.append(f"replies: {record['clients']}")
    clients = record["clients"]
    if clients["failed"] > MAX_FAILED_SHARE * clients["connections"]:
        wrong.append(f"connections failed: {clients}")
    return wrong


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/release/bin"))
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"))
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--growth-mb", type=float, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    args.out = os.path.abspath(args.out)
    os.makedirs(args.out, exist_ok=True)
    record = measure(args)
    write_json(os.path.join(args.out, "connection_churn.json"), record)
    print(json.dumps({key: value for key, value in record.items()
                      if key != "rss_mb"}, indent=2))
    print(summary(record))
    wrong = judge(record, args)
    for sentence in wrong:
        print(f"connection_churn: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
