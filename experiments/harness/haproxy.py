"""HAProxy before the workers' HTTP ports, or unchanged model servers: the rival
from outside, that people run today. It retries a query elsewhere when a worker
does not answer in time, unless it is to pass queries on and no more.
"""

import os
import socket

from experiments.harness import proxy

# One thread, as the frontend has one loop; connections are kept and shared.
_CONFIG = """\
global
    nbthread 1
    maxconn 4096
    stats socket {stats} level admin
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server {server_timeout_ms}ms
    option http-keep-alive
    http-reuse always
    balance leastconn
{retry}
frontend in
    bind fd@{fd}{protocol}
    default_backend workers
backend workers
{servers}
"""
# Only a query that is here as a whole, and fits a buffer of 16 KB, is retried.
_RETRY = """\
    retries {retries}
    option redispatch 1
    option http-buffer-request
    retry-on conn-failure empty-response response-timeout 503"""


def program():
    return proxy.find("haproxy", HaProxy.VARIABLE)


class HaProxy(proxy.Proxy):

    NAME = "haproxy"
    VARIABLE = "PARM_HAPROXY"

    def __init__(self, processes, folder):
        super().__init__(processes, folder)
        self._stats = os.path.join(self._folder, "haproxy.sock")
        self.address = None

    def start(self, endpoints, path=None, server_timeout_ms=10000, retries=2,
              grpc=False):
        """Its address, once `path` answers 200 through it.

        A worker that has not answered after `server_timeout_ms` is given up,
        and the query goes to another, `retries` times; without retries queries
        are passed on as they come, and not kept. With `grpc` both sides speak
        HTTP/2 in the clear, and nothing is asked.
        """
        command = self._required(program())
        protocol = " proto h2" if grpc else ""
        servers = "\n".join(
            f"    server w{index} {endpoint}{protocol}"
            for index, endpoint in enumerate(endpoints))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1024)
            self.address = "127.0.0.1:%d" % listener.getsockname()[1]
            config = self._write_config("haproxy.cfg", _CONFIG.format(
                stats=self._stats, fd=listener.fileno(), servers=servers,
                server_timeout_ms=server_timeout_ms, protocol=protocol,
                retry=_RETRY.format(retries=retries) if retries else
                "    retries 0"))
            self._processes.start(
                self.NAME, [command, "-db", "-q", "-f", config],
                pass_fds=[listener.fileno()])
        self._await_answer(self.address, path)
        return self.address

    def retries(self):
        """Queries that were sent again, and those of them sent elsewhere."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.settimeout(5)
            stats.connect(self._stats)
            stats.sendall(b"show stat\n")
            text = b""
            while chunk := stats.recv(65536):
                text += chunk
        header, *rows = text.decode().lstrip("# ").strip().splitlines()
        names = header.split(",")
        for row in rows:
            fields = dict(zip(names, row.split(",")))
            if fields["svname"] == "BACKEND":
                return int(fields["wretr"]), int(fields["wredis"])
        raise RuntimeError("haproxy tells no figures of its backend")
