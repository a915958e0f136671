"""parm-experiment as a program: what it says and keeps when it cannot go on. Its
workers and trainer are stand-ins, so nothing is trained or served.
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
BIN = os.environ["PARM_BIN"]
PROGRAM = os.path.join(ROOT, "experiments", "live", "parm_experiment.py")
SCENARIO = os.path.join(ROOT, "experiments", "scenarios", "slow_jobs_1.yaml")

# Writes what its flags name, as parm-train does.
_TRAIN = """
import os, sys
flags = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if "--out" in flags:
    os.makedirs(flags["--out"], exist_ok=True)
    open(os.path.join(flags["--out"], "bundle.yaml"), "w").close()
for flag in ("--json", "--logits"):
    if flag in flags:
        open(flags[flag], "w").close()
"""
# Takes every configuration, and dies when it is to serve.
_WORKER = """
import sys
if "--check-config" not in sys.argv:
    sys.exit("parm-worker: the accelerator is on fire")
"""


class ParmExperimentTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.bin = self.path("bin")
        self.out = self.path("out")
        os.makedirs(self.bin)
        for name in ("parm-sim", "parm-load"):
            os.symlink(os.path.join(BIN, name), os.path.join(self.bin, name))
        self.write_program("parm-train", _TRAIN)
        self.write_program("parm-worker", _WORKER)

    def path(self, name):
        return os.path.join(self._folder.name, name)

    def write_program(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable}\n{text}")
        os.chmod(path, stat.S_IRWXU)

    def run_experiment(self, *arguments):
        return subprocess.run(
            [sys.executable, PROGRAM, *arguments, "--bin", self.bin, "--out",
             self.out, "--cache", self.path("cache")],
            capture_output=True, text=True, timeout=250, check=False)

    def test_a_worker_that_dies_at_its_start_is_told(self):
        done = self.run_experiment(SCENARIO, "--workers", "3", "--policy",
                                   "none", "--seconds", "1")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("ended before it was ready", done.stderr)
        self.assertIn("the accelerator is on fire", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        with open(os.path.join(self.out, "record.json"),
                  encoding="utf-8") as file:
            record = json.load(file)
        self.assertEqual(record["runs"], [])
        self.assertEqual(record["config"]["incomplete"], "an error ended it")
        with open(os.path.join(self.out, "report.md"),
                  encoding="utf-8") as file:
            self.assertIn("**Incomplete**", file.read())

    def test_a_bad_scenario_is_told_with_its_line(self):
        bad = self.path("bad.yaml")
        with open(bad, "w", encoding="utf-8") as file:
            file.write("name: bad\nwrokers: 3\n")
        done = self.run_experiment(bad)
        self.assertEqual(done.returncode, 2)
        self.assertIn("bad.yaml:2:", done.stderr)
        self.assertEqual(self.run_experiment().returncode, 2)


if __name__ == "__main__":
    unittest.main()
