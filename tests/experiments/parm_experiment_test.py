"""parm-experiment as a program: what it says and keeps when it cannot go on, and
that it leaves nothing running. Its workers, frontends, loads and trainer are
stand-ins (program_stub.py), so nothing is trained or served.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

from process_checks import PATIENCE_S, eventually, is_running

ROOT = os.environ["PARM_SOURCE"]
BIN = os.environ["PARM_BIN"]
SCENARIOS = os.path.join(ROOT, "experiments", "scenarios")
SCENARIO = os.path.join(SCENARIOS, "slow_jobs_1.yaml")
STUB = os.path.join(ROOT, "tests", "experiments", "program_stub.py")
NONE, HEDGE = (os.path.join(ROOT, "experiments", "policies", name + ".yaml")
               for name in ("none", "hedge"))
STUBS = ("parm-train", "parm-worker", "parm-frontend", "parm-load")


class LiveStubTest(unittest.TestCase):
    """A folder with the programs, and what ran in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.bin = self.path("bin")
        self.out = self.path("out")
        os.makedirs(self.bin)
        os.symlink(os.path.join(BIN, "parm-sim"),
                   os.path.join(self.bin, "parm-sim"))
        with open(STUB, encoding="utf-8") as file:
            text = f"#!{sys.executable}\n{file.read()}"
        for name in STUBS:
            self.write(os.path.join("bin", name), text)
            os.chmod(os.path.join(self.bin, name), stat.S_IRWXU)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text=""):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, *names):
        with open(os.path.join(self.out, *names), encoding="utf-8") as file:
            return file.read()

    def lines_of(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def start(self, program, *arguments):
        driver = subprocess.Popen(
            [sys.executable, os.path.join(ROOT, "experiments", *program),
             *arguments, "--bin", self.bin, "--out", self.out],
            cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "STUB_FOLDER": self.folder,
                 "STUB_LOAD": os.path.join(BIN, "parm-load")})
        self.addCleanup(driver.stdout.close)
        self.addCleanup(driver.stderr.close)
        self.addCleanup(driver.wait)
        self.addCleanup(driver.kill)
        return driver

    def start_experiment(self, *arguments):
        return self.start(("live", "parm_experiment.py"), *arguments,
                          "--cache", self.path("cache"))

    def scenario(self, more=""):
        """A small one, which is soon over."""
        return self.write("small.yaml",
                          "name: small\npace: {service: 20ms}\nworkers: 3\n"
                          f"warmup: 100ms\npolicies: [none]\n{more}")

    def expect_end(self, driver, status):
        """What it said on stderr; nothing that it started is left."""
        _, said = driver.communicate(timeout=PATIENCE_S)
        self.assertEqual(driver.returncode, status, said)
        self.assertNotIn("Traceback", said)
        for line in self.lines_of("pids"):
            self.assertTrue(eventually(
                lambda: not is_running(line.split()[0], self.folder)), line)
        return said


class ParmExperimentTest(LiveStubTest):

    def test_what_was_measured_is_told(self):
        driver = self.start_experiment(self.scenario(), "--policy", NONE,
                                       "--policy", HEDGE, "--seconds", "1")
        self.expect_end(driver, 0)
        record = json.loads(self.read("record.json"))
        self.assertEqual([run["policy"] for run in record["runs"]],
                         ["none", "hedge"])
        self.assertIsNone(record["config"]["incomplete"])
        self.assertNotIn("Incomplete", self.read("report.md"))

    def test_queries_and_their_batches_are_the_loads(self):
        scenario = self.scenario(
            "batch_sizes: [{samples: 1, share: 0.5}, {samples: 3, share: 0.5}]"
            "\n")
        driver = self.start_experiment(
            scenario, "--servers", "2", "--load", "0.5", "--queries", "100",
            "--policy", NONE)
        self.expect_end(driver, 0)
        [load] = self.lines_of("loads")
        # 40 ms each on average: 25 a second.
        self.assertIn("--duration 4s ", load)
        self.assertIn("--workers 2 ", load)
        self.assertIn("--batch-sizes 1:0.5,3:0.5 --clean-extra-sample 20000us",
                      load)
        config = json.loads(self.read("record.json"))["config"]
        self.assertEqual((config["queries"], config["seconds"]), (100, None))

    def test_a_worker_that_dies_at_its_start_is_told(self):
        self.write("worker_dies")
        driver = self.start_experiment(SCENARIO, "--workers", "3", "--policy",
                                       "none", "--seconds", "1")
        said = self.expect_end(driver, 1)
        self.assertIn("ended before it was ready", said)
        self.assertIn("the accelerator is on fire", said)
        record = json.loads(self.read("record.json"))
        self.assertEqual(record["runs"], [])
        self.assertEqual(record["config"]["incomplete"], "an error ended it")
        self.assertIn("**Incomplete**", self.read("report.md"))

    def test_a_port_in_use_after_a_restart_is_told(self):
        self.write("port_in_use")
        # The load would go on for ever: only the worker's end can end it.
        self.write("loads_that_end", "0")
        scenario = self.scenario(
            "worker_events:\n"
            "  - {what: kill, worker: 1, at: 100ms, length: 100ms}\n")
        driver = self.start_experiment(scenario, "--seconds", "600",
                                       "--policy", NONE)
        said = self.expect_end(driver, 1)
        self.assertIn("w1 ended with status 1", said)
        self.assertIn("cannot bind tcp://127.0.0.1:1: Address already in use",
                      said)
        record = json.loads(self.read("record.json"))
        self.assertEqual(record["config"]["incomplete"], "an error ended it")

    def test_ctrl_c_in_the_middle_keeps_what_was_measured(self):
        self.write("loads_that_end", "1")
        driver = self.start_experiment(self.scenario(), "--policy", NONE,
                                       "--policy", HEDGE, "--seconds", "600")
        # The first policy's is over, the second's never ends.
        self.assertTrue(eventually(lambda: len(self.lines_of("loads")) == 2 or
                                   driver.poll() is not None))
        self.assertIsNone(driver.poll())
        driver.send_signal(signal.SIGINT)
        said = self.expect_end(driver, 128 + signal.SIGINT)
        self.assertIn("parm-experiment: ended by SIGINT", said)
        record = json.loads(self.read("record.json"))
        self.assertEqual([run["policy"] for run in record["runs"]], ["none"])
        self.assertEqual(record["config"]["incomplete"], "ended by SIGINT")
        report = self.read("report.md")
        self.assertIn("**Incomplete**: ended by SIGINT", report)
        self.assertIn("| none | 21.0", report)
        summary = json.loads(self.read("summary.json"))
        self.assertEqual(summary["incomplete"], "ended by SIGINT")

    def test_wrong_files_are_told_with_their_line(self):
        bad = self.write("bad.yaml", "name: bad\nwrokers: 3\n")
        trace = os.path.join(SCENARIOS, "trace.yaml")
        malformed = self.write("malformed.csv", "slowdown\n1.5\nx\n")
        backup = os.path.join(ROOT, "experiments", "policies", "backup.yaml")
        no_budget = self.write(
            "no_budget.yaml",
            "workers: [{endpoint: \"tcp://127.0.0.1:1\"}]\nmodels:\n"
            "  - name: m\n    redundancy:\n      policy: hedge\n"
            "      hedge: {max_extra_load: 0, min_per_second: 0}\n")
        for arguments, want in (
                ((bad,), "bad.yaml:2:"),
                ((self.path("none.yaml"),), "cannot read"),
                ((trace, "--trace", self.path("none.csv")), "trace.yaml:"),
                ((trace, "--trace", malformed), "malformed.csv:3:"),
                ((SCENARIO, "--trace", malformed), "replays no trace"),
                ((SCENARIO, "--policy", "coded", "--workers", "2"),
                 "slow_jobs_1.yaml:1: workers: got 2, want at least k + r"),
                ((SCENARIO, "--policy", no_budget), "no_budget.yaml:6:"),
                ((SCENARIO, "--policy", "oracle"),
                 "policy is simulated only: oracle"),
                ((self.scenario(), "--policy", backup, "--workers", "8"),
                 "small.yaml:5: policy backup has no backup model")):
            with self.subTest(arguments=arguments):
                said = self.expect_end(self.start_experiment(*arguments), 2)
                self.assertIn(want, said)
        self.assertEqual(self.lines_of("pids"), [])
        self.expect_end(self.start_experiment(), 2)
        self.expect_end(self.start_experiment(SCENARIO, "--queries", "0"), 2)


if __name__ == "__main__":
    unittest.main()
