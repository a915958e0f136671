"""parm-load over gRPC, as a program: by itself and in the bench of proxies.
Apart from its tests over HTTP, as ThreadSanitizer cannot have the gRPC library.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from proxy_cost_case import ProxyCostCase

ROOT = os.environ["PARM_SOURCE"]
BIN = os.environ["PARM_BIN"]
sys.path.insert(0, ROOT)

from experiments.harness import haproxy, nginx  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402


class ParmLoadOverGrpcTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.processes = ProcessSet(self._folder.name)
        self.addCleanup(self.processes.stop_all)
        self.record = os.path.join(self._folder.name, "record.json")

    def load(self, url):
        return subprocess.run(
            [os.path.join(BIN, "parm-load"), "--no-realtime", "--url", url,
             "--model", "fashion", "--data",
             "idx:/usr/share/datasets/fashion-mnist", "--rate", "50",
             "--duration", "500ms", "--warmup", "0s", "--timeout", "60s",
             "--out", self.record],
            capture_output=True, text=True, timeout=250, check=False)

    def start_server(self):
        self.processes.start("server", [
            os.path.join(BIN, "parm-null-server"), "--grpc-port", "0"])
        return self.processes.wait_ready("server")["grpc"]

    def assert_all_answered(self, address):
        # A slow machine may send late; then the record says so.
        status = self.load("grpc://" + address).returncode
        with open(self.record, encoding="utf-8") as file:
            run = json.load(file)["runs"][0]
        self.assertEqual(status, 3 if run["refused"] else 0)
        self.assertGreater(run["queries"], 0)
        self.assertEqual(run["answers"]["exact"], run["queries"])

    def test_writes_a_record_of_answered_queries(self):
        self.assert_all_answered(self.start_server())

    def test_bare_proxy_passes_calls_on(self):
        self.processes.start("proxy", [
            os.path.join(BIN, "parm-bare-grpc-proxy"), "--server",
            self.start_server()])
        self.assert_all_answered(self.processes.wait_ready("proxy")["grpc"])

    def test_server_that_is_not_there_is_status_one(self):
        done = self.load("grpc://127.0.0.1:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("gRPC UNAVAILABLE", done.stderr)

    def test_unknown_scheme_is_status_two(self):
        done = self.load("ftp://127.0.0.1:1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--url wants", done.stderr)


@unittest.skipUnless(haproxy.program() and nginx.program(),
                     "haproxy or nginx is not installed")
class GrpcProxyCostTest(ProxyCostCase):

    def test_every_proxy_passes_grpc_on(self):
        self.run_bench("grpc", {"bare", "haproxy", "nginx", "none", "direct"})


if __name__ == "__main__":
    unittest.main()
