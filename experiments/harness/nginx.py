"""nginx before unchanged model servers: the other proxy that people run today."""

import socket

from experiments.harness import proxy

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
    return proxy.find("nginx", Nginx.VARIABLE)


class Nginx(proxy.Proxy):

    NAME = "nginx"
    VARIABLE = "PARM_NGINX"

    def start(self, endpoints, path=None, grpc=False):
        """Its address, once `path` answers 200 through it. With `grpc` both
        sides speak HTTP/2 in the clear, and nothing is asked.
        """
        command = self._required(program())
        # Holds the port, without listening, until nginx has it too.
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % holder.getsockname()[1]
            config = self._write_config("nginx.conf", _CONFIG.format(
                folder=self._folder,
                servers="\n".join(f"        server {endpoint};"
                                  for endpoint in endpoints),
                listen=f"{address} reuseport{' http2' if grpc else ''}",
                forward=_GRPC if grpc else _HTTP))
            self._processes.start(self.NAME, [
                command, "-p", self._folder, "-e", "stderr", "-c", config])
            self._await(lambda: self._listens(address), "it does not listen")
        self._await_answer(address, path)
        return address

    @staticmethod
    def _listens(address):
        host, port = address.split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0
