"""parm-load as a program: its exit status and the record it leaves."""

import csv
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.harness.processes import ProcessSet  # noqa: E402

BIN = os.environ["PARM_BIN"]
DATA = "idx:/usr/share/datasets/fashion-mnist"


def load(*arguments):
    return subprocess.run(
        [os.path.join(BIN, "parm-load"), "--no-realtime", *arguments],
        capture_output=True, text=True, timeout=250, check=False)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


class Server(http.server.ThreadingHTTPServer):

    def __init__(self, address, handler):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


def answer(handler, status, body):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class ParmLoadTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        processes = ProcessSet(self._folder.name)
        self.addCleanup(processes.stop_all)
        processes.start("server", [os.path.join(BIN, "parm-null-server")])
        self.url = processes.wait_ready("server")["http"]
        self.record = os.path.join(self._folder.name, "record.json")

    def against_server(self, *arguments):
        return load("--url", self.url, "--model", "fashion", "--data", DATA,
                    "--warmup", "0s", "--out", self.record, *arguments)

    def serve(self, host="127.0.0.1", **methods):
        """The address of a server with these methods."""
        methods["protocol_version"] = "HTTP/1.1"
        methods["log_message"] = lambda *_: None
        server = Server((host, 0), type(
            "Handler", (http.server.BaseHTTPRequestHandler,), methods))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        if ":" in host:
            host = f"[{host}]"
        return f"{host}:{server.server_port}"

    def read_record(self):
        check = load("--check-record", self.record)
        self.assertEqual(check.returncode, 0, check.stderr)
        with open(self.record, encoding="utf-8") as file:
            return json.load(file)

    def test_writes_a_record_that_its_checker_takes(self):
        cdf = os.path.join(self._folder.name, "cdf.csv")
        # A slow machine may send late; then the record says so.
        status = self.against_server("--rate", "100", "--duration", "500ms",
                                     "--policy", "coded", "--code", "sum:2:1",
                                     "--cdf", cdf).returncode
        run = self.read_record()["runs"][0]
        self.assertEqual(status, 3 if run["refused"] else 0)
        self.assertEqual(run["answers"]["exact"], run["queries"])
        self.assertEqual(run["code"], {"scheme": "sum", "k": 2, "r": 1})
        with open(cdf, encoding="utf-8") as file:
            self.assertEqual(file.readline().split(",")[0], "quantile")

    def test_says_how_every_query_ended(self):
        printed = self.against_server("--rate", "100", "--duration",
                                      "300ms").stdout.splitlines()
        words = printed[1].split()
        ended = {word: int(count)
                 for word, count in zip(words[::2], words[1::2])}
        run = self.read_record()["runs"][0]
        self.assertEqual(ended, run["answers"])
        self.assertEqual(sum(ended.values()), run["queries"])

    def test_tells_errors_by_their_words(self):
        # It tells the metadata, and refuses whatever is asked of the model.
        def refuse(handler):
            handler.rfile.read(int(handler.headers["Content-Length"]))
            answer(handler, 400, b"not today")

        def describe(handler):
            answer(handler, 200, json.dumps({
                "name": "fashion", "platform": "p", "inputs": [{
                    "name": "x", "datatype": "FP32",
                    "shape": [-1, 1, 28, 28]}], "outputs": [{
                        "name": "y", "datatype": "FP32", "shape": [-1, 10]}]
            }).encode())

        self.url = self.serve(do_GET=describe, do_POST=refuse)
        printed = self.against_server("--rate", "100", "--duration",
                                      "300ms").stdout
        run = self.read_record()["runs"][0]
        self.assertEqual(run["answers"]["error"], run["queries"])
        self.assertIn(f"{run['queries']} x HTTP 400: not today\n", printed)

    @unittest.skipUnless(has_ipv6(), "there is no ::1")
    def test_ipv6_servers_are_named_in_brackets(self):
        asked = []

        def forget(handler):
            asked.append(handler.headers["Host"])
            answer(handler, 404, b"no such model")

        self.url = self.serve("::1", do_GET=forget)
        self.assertTrue(self.url.startswith("[::1]:"))
        done = self.against_server("--rate", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("HTTP 404: no such model", done.stderr)
        self.assertEqual(asked, [self.url])

    def test_logs_every_measured_query(self):
        log = os.path.join(self._folder.name, "log.csv")
        self.against_server("--rate", "100", "--duration", "500ms",
                            "--rate-step", "400ms:300",
                            "--log", log)
        document = self.read_record()
        with open(log, encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), document["runs"][0]["queries"])
        self.assertEqual({row["outcome"] for row in rows}, {"exact"})
        for row in rows:
            self.assertTrue(0 <= float(row["due_s"]) < 0.5)
        self.assertEqual(document["config"]["rate_steps"], "400ms:300")

    def test_json_and_batches_are_answered_too(self):
        for arguments, encoding in ((("--json",), "json"),
                                    (("--batch-sizes", "1:0.5,3:0.5"),
                                     "binary")):
            with self.subTest(arguments=arguments):
                self.against_server("--rate", "100", "--duration", "500ms",
                                    *arguments)
                document = self.read_record()
                self.assertEqual(document["config"]["encoding"], encoding)
                [run] = document["runs"]
                self.assertEqual(run["answers"]["exact"], run["queries"],
                                 document["config"]["first_error"])

    def test_says_whether_its_sends_follow_their_law(self):
        self.against_server("--rate", "200", "--duration", "500ms")
        config = self.read_record()["config"]
        for name in ("send_gaps_ks", "send_times_ks"):
            self.assertTrue(0 <= config[name]["probability"] <= 1)
            self.assertTrue(0 < config[name]["distance"] <= 1)
        self.against_server("--rate", "200", "--duration", "100ms",
                            "--arrivals", "constant")
        self.assertIsNone(self.read_record()["config"]["send_gaps_ks"])

    def test_replays_recorded_arrivals(self):
        trace = os.path.join(self._folder.name, "arrivals.txt")
        with open(trace, "w", encoding="utf-8") as file:
            file.write("".join(f"{i / 100}\n" for i in range(40)))
        self.against_server("--arrivals", "trace:" + trace, "--duration",
                            "300ms")
        self.assertEqual(self.read_record()["runs"][0]["queries"], 30)

    def test_late_sends_are_refused_with_status_three(self):
        # One connection cannot carry 200,000 queries a second.
        done = self.against_server("--rate", "200000", "--duration", "100ms",
                                   "--max-connections", "1")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("over 1 ms late", done.stderr)
        self.assertIn("over 1 ms late", self.read_record()["runs"][0]["refused"])

    def test_wrong_usage_is_status_two(self):
        for arguments in (("--rate", "0"), ("--rate", "1", "--code", "sum"),
                          ("--rate", "1", "--duration", "soon"),
                          ("--rate", "1", "--no-such-flag"),
                          ("--rate", "1", "--arrivals", "whenever"),
                          ("--rate", "1", "--rate-step", "1s"),
                          ("--rate", "1", "--bursts", "9:2s:1s"),
                          ("--rate", "1", "--bursts", "9"),
                          ("--rate", "1", "--batch-sizes", "2"),
                          ("--rate", "1", "--batch-sizes", "2:0.5"),
                          ("--rate", "1", "--batch-sizes", "2:1", "--json"),
                          ("--rate", "1", "--data", "folder")):
            with self.subTest(arguments=arguments):
                done = self.against_server(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertFalse(os.path.exists(self.record))

    def test_says_what_it_wants_instead(self):
        data = ("--model", "fashion", "--data", DATA, "--rate", "1")
        for arguments, sentence in (
                ((), "--model is required"),
                (("--model", "fashion"), "--data is required"),
                (("--url", "localhost:80", *data),
                 "got localhost, want an IPv4 or IPv6 address"),
                *((("--url", url, *data), "--url wants ADDRESS:PORT")
                  for url in ("::1:80", "[::1:80", "[127.0.0.1]:80", "[::1]",
                              "127.0.0.1", "127.0.0.1:65536"))):
            with self.subTest(arguments=arguments):
                done = load(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(sentence, done.stderr)

    def test_server_that_is_not_there_is_status_one(self):
        done = load("--url", "127.0.0.1:1", "--model", "fashion",
                    "--data", DATA, "--rate", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot connect", done.stderr)

    def test_broken_records_are_told_apart(self):
        with open(self.record, "w", encoding="utf-8") as file:
            file.write('{"name": "x"}')
        done = load("--check-record", self.record)
        self.assertEqual(done.returncode, 2)
        self.assertIn("key is missing: commit", done.stderr)
        done = load("--check-record", self._folder.name)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot read", done.stderr)


if __name__ == "__main__":
    unittest.main()
