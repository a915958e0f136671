"""parm-sim as a program: the committed scenarios, its record, its refusals."""

import glob
import json
import os
import unittest

from program_case import ProgramCase, run

ROOT = os.environ["PARM_SOURCE"]
SCENARIOS = os.path.join(ROOT, "experiments", "scenarios")


def scenario(name):
    return os.path.join(SCENARIOS, name + ".yaml")


class ParmSimTest(ProgramCase):
    program = "parm-sim"

    def test_every_committed_scenario_leaves_a_record(self):
        files = sorted(glob.glob(os.path.join(SCENARIOS, "*.yaml")))
        self.assertGreater(len(files), 5)
        for file in files:
            with self.subTest(file=file):
                record = self.path("record.json")
                result = run("parm-sim", file, "--queries", "2000", "--out",
                             record)
                self.assertEqual(result.returncode, 0, result.stderr)
                check = run("parm-load", "--check-record", record)
                self.assertEqual(check.returncode, 0, check.stderr)
                with open(record, encoding="utf-8") as opened:
                    runs = json.load(opened)["runs"]
                self.assertGreater(len(runs), 1)
                for one in runs:
                    self.assertEqual(one["queries"], 2000)
                    self.assertEqual(one["answers"]["lost"], 0)

    def test_flags_replace_what_the_scenario_says(self):
        record = self.path("record.json")
        result = run("parm-sim", scenario("slow_jobs_1"), "--policy", "coded",
                     "--load", "0.2", "--servers", "9", "--queries", "500",
                     "--seed", "5", "--out", record)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(record, encoding="utf-8") as file:
            document = json.load(file)
        self.assertEqual(document["seed"], 5)
        [one] = document["runs"]
        self.assertEqual(
            (one["policy"], one["code"]["k"], one["load"], one["workers"],
             one["queries"]), ("coded", 2, 0.2, 9, 500))

    def test_bounds_are_policies_of_their_own(self):
        record = self.path("record.json")
        result = run("parm-sim", scenario("slow_jobs_8"), "--policy", "none",
                     "--policy", "oracle", "--policy", "infinite_servers",
                     "--queries", "2000", "--out", record)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(record, encoding="utf-8") as file:
            none, oracle, infinite = json.load(file)["runs"]
        self.assertEqual([one["policy"] for one in (none, oracle, infinite)],
                         ["none", "oracle", "infinite_servers"])
        self.assertGreater(none["latency_ms"]["p99"], 150)
        self.assertGreater(none["tail_mass"]["over_5_service"], 0.05)
        self.assertLess(oracle["latency_ms"]["max"], 60)
        self.assertLess(infinite["latency_ms"]["max"], 25)
        self.assertEqual(oracle["wasted_service_per_query"], 0)
        self.assertIsNone(infinite["extra_jobs_per_query"])
        self.expect_refused("slow_jobs_8.yaml:", scenario("slow_jobs_8"),
                            "--policy", "oracle", "--plan", self.path("plan"))

    def test_logs_hold_each_measured_query(self):
        result = run("parm-sim", scenario("load_step"), "--policy", "none",
                     "--policy", "oracle", "--seconds", "12", "--logs",
                     self._folder.name)
        self.assertEqual(result.returncode, 0, result.stderr)
        for policy in ("none", "oracle"):
            with open(self.path(policy + ".csv"), encoding="utf-8") as file:
                lines = file.read().splitlines()
            self.assertEqual(lines[0], "due_s,latency_ms,outcome")
            due = [float(line.split(",")[0]) for line in lines[1:]]
            # 8 s at a load of 0.3, 4 s at 0.8, of 1200 queries/s.
            self.assertEqual(len(due), 8 * 360 + 4 * 960)
            self.assertEqual(due, sorted(due))
            self.assertGreaterEqual(due[0], 2)
            self.assertAlmostEqual(due[-1], 14, delta=1)
        self.assertEqual(
            run("parm-sim", scenario("load_step"), "--seconds", "1",
                "--queries", "1").returncode, 2)

    def test_says_which_line_of_a_file_is_wrong(self):
        bad = self.write("bad.yaml", "name: bad\nwrokers: 3\n")
        self.expect_refused("bad.yaml:2:", bad)
        self.expect_refused("cannot read", self.path("none.yaml"))
        self.expect_refused("cannot read", self._folder.name)
        policy = self.write("policy.yaml", "workers: []\nmodels: []\n")
        self.expect_refused("policy.yaml:1:", scenario("slow_jobs_1"),
                            "--policy", policy)
        self.expect_refused("want at least k + r", scenario("slow_jobs_1"),
                            "--policy", "coded", "--servers", "2")
        self.expect_refused("8 for 4 shuffles", scenario("shuffles"),
                            "--servers", "7")
        trace = self.write("trace.csv", "slowdown\n1\nx\n")
        self.expect_refused("trace.csv:3:", scenario("trace"), "--trace",
                            trace)
        self.expect_refused("trace.yaml:", scenario("trace"), "--trace",
                            self.path("none.csv"))
        self.expect_refused("replays no trace", scenario("slow_jobs_1"),
                            "--trace", trace)

    def test_wrong_flags_are_wrong_usage(self):
        self.assertEqual(run("parm-sim").returncode, 2)
        self.assertEqual(
            run("parm-sim", scenario("trace"), "--load", "7").returncode, 2)
        self.assertEqual(run("parm-sim", "--help").returncode, 0)
        self.assertIn("parm-sim ", run("parm-sim", "--version").stdout)

    def test_a_record_that_cannot_be_written_is_no_success(self):
        result = run("parm-sim", scenario("slow_jobs_1"), "--queries", "100",
                     "--out", self.path("no/such/folder.json"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)


if __name__ == "__main__":
    unittest.main()
