"""Drives a frontend with the tools that people have: curl, hey, wrk, and
perf_analyzer over HTTP and gRPC, all as they are published.

  unmodified_tools.py --http 127.0.0.1:8000 --grpc 127.0.0.1:8001 \
      --model linear --input x:FP32:16

perf_analyzer is the one of a PyPI wheel, installed once into build/servers/;
exit status 77 where it cannot be had.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import model_servers  # noqa: E402

SKIPPED = 77
OPTIONS = argparse.Namespace()


def run(*command, env=None):
    """What it printed; it must end well, and within a generous while."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, env=env)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class UnmodifiedToolsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        name, datatype, dims = OPTIONS.input.split(":")
        cls.shape = f"{name}:{dims}"
        shape = [1] + [int(dim) for dim in dims.split(",")]
        count = 1
        for dim in shape:
            count *= dim
        cls.body = pathlib.Path(cls.folder.name) / "query.json"
        cls.body.write_text(json.dumps({"inputs": [
            {"name": name, "datatype": datatype, "shape": shape, "data": [1] * count}]}))
        cls.infer = f"http://{OPTIONS.http}/v2/models/{OPTIONS.model}/infer"

    def test_curl_gets_metadata_and_an_answer(self):
        metadata = json.loads(run(
            "curl", "-sS", "--fail", f"http://{OPTIONS.http}/v2/models/{OPTIONS.model}"))
        self.assertEqual(metadata["name"], OPTIONS.model)
        reply = run("curl", "-sS", "-i", "-H", "Content-Type: application/json",
                    "--data", f"@{self.body}", self.infer)
        head, _, body = reply.partition("\n\n")
        self.assertIn("200 OK", head)
        self.assertRegex(head, "x-parm-source: (exact|reconstructed)")
        self.assertEqual(json.loads(body)["model_name"], OPTIONS.model)

    def test_hey_gets_an_answer_to_every_request(self):
        printed = run("hey", "-n", 200, "-c", 8, "-m", "POST", "-T", "application/json",
                      "-D", self.body, self.infer)
        self.assertRegex(printed, r"\[200\]\s+200 responses")
        self.assertNotIn("Error distribution", printed)

    def test_wrk_sees_no_error(self):
        script = pathlib.Path(self.folder.name) / "post.lua"
        script.write_text(
            'wrk.method = "POST"\n'
            'wrk.headers["Content-Type"] = "application/json"\n'
            f'wrk.body = io.open("{self.body}"):read("*a")\n')
        # A reply that takes longer than the timeout counts as a socket error.
        printed = run("wrk", "-t1", "-c8", "-d1s", "--timeout", "60s", "-s", script,
                      self.infer)
        self.assertGreater(int(re.search(r"(\d+) requests in", printed)[1]), 0)
        self.assertNotIn("Non-2xx", printed)
        self.assertNotIn("Socket errors", printed)

    def test_perf_analyzer_measures_over_http_and_grpc(self):
        folder = model_servers.environment("perf_analyzer")
        runtime = next(folder.glob("lib/python3*/site-packages/nvidia/cuda_runtime/lib"))
        for protocol, url in (("http", OPTIONS.http), ("grpc", OPTIONS.grpc)):
            with self.subTest(protocol=protocol):
                # One window of any stability: whether it works, not how fast.
                printed = run(folder / "bin" / "perf_analyzer", "-m", OPTIONS.model,
                              "-i", protocol, "-u", url, "--shape", self.shape,
                              "--concurrency-range", 4, "-p", 1000, "-r", 3, "-s", 999,
                              env={"LD_LIBRARY_PATH": str(runtime)})
                rate = re.search(r"throughput: ([0-9.]+) infer/sec", printed)
                self.assertIsNotNone(rate, printed)
                self.assertGreater(float(rate[1]), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--http", "--grpc", "--model", "--input"):
        parser.add_argument(flag, required=True)
    parser.parse_args(namespace=OPTIONS)
    try:
        model_servers.environment("perf_analyzer")
    except model_servers.Unavailable as error:
        print(f"SKIPPED: {error}")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
