"""The benches of a shard, of hops and of parm-sim, each run once and briefly:
the figures come from queries that were answered. And what connection_churn and
parm-direct-call do not put up with.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.bench import connection_churn, stub_bundles  # noqa: E402
from experiments.harness import haproxy  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402


# No machine is too slow to answer.
NO_HASTE = ("--deadline", "60s")


class BenchTest(unittest.TestCase):

    def run_bench(self, script, *arguments):
        """Its run record, and the cells of its table but for the heading."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable,
                 os.path.join(ROOT, "experiments", "bench", script),
                 *arguments, "--bin", os.environ["PARM_BIN"], "--out", folder,
                 "--repeats", "1"],
                capture_output=True, text=True, timeout=280, check=False)
            # A slow machine may send late; then the record says so.
            self.assertIn(done.returncode, (0, 3), done.stderr)
            [name] = [each for each in os.listdir(folder)
                      if each.endswith(".md")]
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                rows = [[cell.strip() for cell in line.strip("| \n").split("|")]
                        for line in file]
            with open(os.path.join(folder, name[:-2] + "json"),
                      encoding="utf-8") as file:
                record = json.load(file)
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})
        if not any(run["refused"] for run in record["runs"]):
            self.assertEqual(done.returncode, 0, done.stderr)
        return record, rows[2:]

    def expect_answers(self, record, policies):
        self.assertEqual({run["policy"] for run in record["runs"]}, policies)
        for run in record["runs"]:
            self.assertGreater(run["queries"], 0)
            self.assertEqual(run["answers"]["error"], 0, run)
            self.assertEqual(run["answers"]["lost"], 0, run)

    @unittest.skipUnless(len(os.sched_getaffinity(0)) > 1, "one core only")
    def test_a_shard_on_its_own_core_answers(self):
        record, rows = self.run_bench(
            "shard_load.py", "ceiling", "--rates", "40", "--seconds", "1",
            *NO_HASTE)
        self.expect_answers(record, {"none", "hybrid"})
        for row in rows:
            self.assertEqual(row[1], "40")
            self.assertGreater(float(row[5].split()[0]), 0)

    def test_idle_and_loaded_frontends_are_told_by_workers(self):
        record, rows = self.run_bench(
            "shard_load.py", "workers", "--workers", "2", "3", "--rates", "0",
            "40", "--seconds", "1", "--policy", "none", *NO_HASTE)
        self.expect_answers(record, {"none"})
        self.assertEqual([row[:3] for row in rows if row[2] == "0"],
                         [["2", "none", "0"], ["3", "none", "0"]])
        for row in rows:
            self.assertGreater(float(row[6].split()[0]), 1)

    @unittest.skipUnless(haproxy.program(), "haproxy is not installed")
    def test_every_policy_is_a_hop(self):
        policies = {"none", "hedge", "replicate", "backup", "coded", "hybrid"}
        record, _ = self.run_bench("hop_cost.py", "--size", "12 KB", "--rate",
                                   "40", "--seconds", "1", *NO_HASTE)
        self.expect_answers(record, policies | {"haproxy", "direct"})
        extra = {run["policy"]: run["extra_jobs_per_query"]
                 for run in record["runs"]}
        # Even `none` asks again where a slow machine made workers seem lost.
        self.assertLess(extra["none"], extra["replicate"])

    def test_simulated_queries_are_timed(self):
        record, rows = self.run_bench(
            "sim_speed.py", "--servers", "8", "100", "--queries", "2000",
            "--policy", "none")
        self.assertEqual([run["workers"] for run in record["runs"]], [8, 100])
        [row] = rows
        self.assertGreater(float(row[1].split()[0]), 0)
        self.assertIn("goal 4", row[-1])


class DirectCallTest(unittest.TestCase):

    def test_a_worker_that_beats_but_never_answers_is_given_up(self):
        with tempfile.TemporaryDirectory() as folder, \
                ProcessSet(folder) as processes:
            deployed, _ = stub_bundles.write_bundles(folder, (2, 2))
            config = os.path.join(folder, "worker.yaml")
            with open(config, "w", encoding="utf-8") as file:
                json.dump({"id": "w", "bind": "tcp://127.0.0.1:0",
                           "bundles": [{"path": deployed}],
                           "faults": {"events": [{"drop_probability": 1}]}},
                          file)
            processes.start("worker", [
                os.path.join(os.environ["PARM_BIN"], "parm-test-worker"),
                "--config", config])
            done = subprocess.run(
                [os.path.join(os.environ["PARM_BIN"], "parm-direct-call"),
                 "--worker", processes.wait_ready("worker")["zmq"],
                 "--timeout", "1s"],
                capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("worker does not answer", done.stderr)


class ConnectionChurnTest(unittest.TestCase):

    def judge(self, **clients):
        return connection_churn.judge(
            {"growth_mb": 0.5, "descriptors": {"before": 19, "after": 19},
             "all_gone": True, "left": 0,
             "clients": {"connections": 100, "replies": 300, "wrong": 0,
                         "failed": 0, **clients}},
            argparse.Namespace(growth_mb=4))

    def test_a_few_failures_are_no_fault(self):
        self.assertEqual(self.judge(failed=5), [])

    def test_connections_that_are_cut_are_a_fault(self):
        for clients in ({"failed": 90, "replies": 1}, {"failed": 6},
                        {"replies": 0}, {"wrong": 1}):
            with self.subTest(clients=clients):
                self.assertEqual(len(self.judge(**clients)), 1)


if __name__ == "__main__":
    unittest.main()
