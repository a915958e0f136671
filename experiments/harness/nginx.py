"""nginx before unchanged model servers: the other proxy that people run today."""

import os
import shutil
import socket
import time

from experiments.harness.frontend import http_get

READY_S = 60

# One process with one event loop, as the others here: without a master its CPU
# time is that of a single process, and it ends with its driver; what a request
# costs is the same. Requests are held in memory, connections are kept.
_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 64m;
    client_body_buffer_size 2m;
    client_body_temp_path {folder}/nginx.body;
    proxy_temp_path {folder}/nginx.proxy;
    fastcgi_temp_path {folder}/nginx.fastcgi;
    uwsgi_temp_path {folder}/nginx.uwsgi;
    scgi_temp_path {folder}/nginx.scgi;
    upstream servers {{
        least_conn;
{servers}
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen};
        location / {{
{forward}
        }}
    }}
}}
"""
_HTTP = """\
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";"""
_GRPC = "            grpc_pass grpc://servers;"


def program():
    """nginx's path, PARM_NGINX before that of the system; None without."""
    return os.environ.get("PARM_NGINX") or shutil.which(
        "nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Nginx:
    """Its files lie in `folder`; NAME is its process in `processes`."""

    NAME = "nginx"

    def __init__(self, processes, folder):
        self._processes = processes
        self._folder = os.path.abspath(folder)

    def start(self, endpoints, path=None, grpc=False):
        """Its address, once `path` answers 200 through it. With `grpc` both
        sides speak HTTP/2 in the clear, and nothing is asked.
        """
        command = program()
        if command is None:
            raise RuntimeError(
                "nginx is not installed: apt-get install nginx, or name the "
                "program in PARM_NGINX")
        # Holds the port, without listening, until nginx has it too.
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % holder.getsockname()[1]
            config = os.path.join(self._folder, "nginx.conf")
            with open(config, "w", encoding="utf-8") as file:
                file.write(_CONFIG.format(
                    folder=self._folder,
                    servers="\n".join(f"        server {endpoint};"
                                      for endpoint in endpoints),
                    listen=f"{address} reuseport{' http2' if grpc else ''}",
                    forward=_GRPC if grpc else _HTTP))
            self._processes.start(self.NAME, [
                command, "-p", self._folder, "-e", "stderr", "-c", config])
            self._await(lambda: self._listens(address), "it does not listen")
        if path is not None:
            self._await(lambda: http_get(address, path)[0] == 200,
                        f"it does not reach {path}")
        return address

    @staticmethod
    def _listens(address):
        host, port = address.split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def _await(self, condition, otherwise):
        deadline = time.monotonic() + READY_S
        while not condition():
            self._processes.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"nginx: {otherwise} in {READY_S} s")
            time.sleep(0.05)
