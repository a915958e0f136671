"""HAProxy before the workers' HTTP ports, and the stub bundles that the hop
bench serves. Skipped, visibly, where haproxy is not installed.
"""

import json
import os
import sys
import tempfile
import unittest
import urllib.request

ROOT = os.environ["PARM_SOURCE"]
BIN = os.environ["PARM_BIN"]
sys.path.insert(0, ROOT)

from experiments.bench import stub_bundles  # noqa: E402
from experiments.harness import haproxy  # noqa: E402
from experiments.harness.frontend import wait_until_ready  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402


class WorkersTest(unittest.TestCase):

    def setUp(self):
        self._scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self._scratch.cleanup)
        self.folder = self._scratch.name
        self.processes = ProcessSet(self.folder)
        self.addCleanup(self.processes.stop_all)
        self.bundles = stub_bundles.write_bundles(self.folder, (2, 2))

    def start_worker(self, name, **faults):
        path = os.path.join(self.folder, f"{name}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"id": name, "bind": "tcp://127.0.0.1:0",
                       "bundles": [{"path": each} for each in self.bundles],
                       "faults": {"events": [faults] if faults else []}},
                      file)
        self.processes.start(name, [
            os.path.join(BIN, "parm-test-worker"), "--config", path,
            "--http-port", "0"])
        return self.processes.wait_ready(name)

    def infer(self, address):
        body = json.dumps({"inputs": [{
            "name": "x", "datatype": "FP32", "shape": [1, 2, 2],
            "data": [1, 2, 3, 4]}]}).encode()
        with urllib.request.urlopen(
                f"http://{address}/v2/models/{stub_bundles.MODEL}/infer",
                data=body, timeout=120) as reply:
            return json.load(reply)["outputs"][0]["data"]


class StubBundlesTest(WorkersTest):

    def test_a_frontend_codes_with_them(self):
        worker = self.start_worker("w0")
        config = os.path.join(self.folder, "frontend.yaml")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"workers": [{"endpoint": worker["zmq"]}],
                       "health": {"heartbeat_timeout": "60s"},
                       "models": [{"name": stub_bundles.MODEL,
                                   "deadline": "60s", "redundancy": {
                                       "policy": "coded", "code": {
                                           "scheme": "sum", "k": 2}}}]}, file)
        self.processes.start("frontend", [
            os.path.join(BIN, "parm-frontend"), "--config", config,
            "--http-port", "0", "--allow-grpc=false",
            "--metrics-port", "0"])
        address = self.processes.wait_ready("frontend")["http"]
        wait_until_ready(address, stub_bundles.MODEL)
        self.assertEqual(self.infer(address), self.infer(worker["http"]))
        # A parity bundle of another lineage would be refused, loudly.
        self.assertNotIn("lineage", self.processes.log_tail("frontend"))


@unittest.skipUnless(haproxy.program(), "haproxy is not installed")
class HaProxyTest(WorkersTest):

    def test_sends_a_query_elsewhere_when_nothing_comes_back(self):
        endpoints = [self.start_worker("w0", drop_probability=1)["http"],
                     self.start_worker("w1")["http"]]
        proxy = haproxy.HaProxy(self.processes, self.folder)
        address = proxy.start(endpoints, "/v2/health/ready",
                              server_timeout_ms=2000)
        answers = [self.infer(address) for _ in range(4)]
        self.assertEqual(answers, [self.infer(endpoints[1])] * 4)
        self.assertGreater(proxy.retries()[0], 0)

    def test_says_that_no_worker_is_reached(self):
        proxy = haproxy.HaProxy(self.processes, self.folder)
        with self.assertRaisesRegex(RuntimeError, "haproxy"):
            proxy.start(["nonsense"], "/v2/health/ready")


class MissingHaProxyTest(WorkersTest):

    def test_is_said_in_a_sentence(self):
        found, haproxy.program = haproxy.program, lambda: None
        try:
            with self.assertRaisesRegex(RuntimeError, "is not installed"):
                haproxy.HaProxy(self.processes, self.folder).start([], "/")
        finally:
            haproxy.program = found


if __name__ == "__main__":
    unittest.main()
