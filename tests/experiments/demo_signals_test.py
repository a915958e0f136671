"""The demo's driver over stubs, and its script: signals at each of the stages
leave nothing running, a cache that is refused is made anew, errors are
sentences.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from process_checks import PATIENCE_S, eventually, is_running

ROOT = os.environ["PARM_SOURCE"]
PROGRAMS = ("parm-train", "parm-worker", "parm-frontend", "parm-load")


class DemoTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.makedirs(self.path("bin"))
        with open(os.path.join(ROOT, "tests/experiments/program_stub.py"),
                  encoding="utf-8") as file:
            text = f"#!{sys.executable}\n{file.read()}"
        for name in PROGRAMS:
            with open(self.path("bin", name), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(self.path("bin", name), 0o755)
        with open(self.path("loads_that_end"), "w", encoding="utf-8") as file:
            file.write("0")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, hang=""):
        # Relative paths on purpose: they count from where the demo starts.
        demo = subprocess.Popen(
            [sys.executable, os.path.join(ROOT, "experiments/demo/run_demo.py"),
             "--bin", "bin", "--cache", "cache", "--out", "out",
             "--data", "none", "--seconds", "60"],
            cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "STUB_FOLDER": self.folder, "STUB_HANG": hang})
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        return demo

    def lines_of(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def reached(self, program):
        """How many of this program have started."""
        return sum(line.endswith(" " + program)
                   for line in self.lines_of("pids"))

    def run_until(self, program, hang, count=1):
        demo = self.start(hang)
        self.assertTrue(eventually(lambda: self.reached(program) >= count or
                                   demo.poll() is not None))
        self.assertIsNone(demo.poll(), "the demo ended by itself")
        return demo

    def expect_end(self, demo, status):
        output, _ = demo.communicate(timeout=PATIENCE_S)
        self.assertEqual(demo.returncode, status, output)
        for line in self.lines_of("pids"):
            pid = line.split()[0]
            self.assertTrue(
                eventually(lambda: not is_running(pid, self.folder)), line)
        return output

    def test_signals_end_every_stage_and_all_its_processes(self):
        for program in PROGRAMS:
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(program=program, signal=number.name):
                    for left in ("cache", "out"):
                        shutil.rmtree(self.path(left), ignore_errors=True)
                    if os.path.exists(self.path("pids")):
                        os.remove(self.path("pids"))
                    # Those before it in the demo do their part.
                    demo = self.run_until(program, hang=program)
                    demo.send_signal(number)
                    output = self.expect_end(demo, 128 + number)
                    self.assertIn(f"demo: ended by {number.name}", output)
                    self.assertNotIn("Traceback", output)

    def test_signals_that_repeat_change_nothing(self):
        demo = self.run_until("parm-load", hang="")
        for _ in range(3):
            demo.send_signal(signal.SIGTERM)
        self.expect_end(demo, 128 + signal.SIGTERM)

    def test_refused_bundles_are_trained_anew(self):
        for is_refused in (False, False, True):
            if is_refused:
                with open(self.path("refuse"), "w", encoding="utf-8"):
                    pass
            started = self.reached("parm-load")
            demo = self.run_until("parm-load", hang="", count=started + 1)
            demo.send_signal(signal.SIGTERM)
            self.expect_end(demo, 128 + signal.SIGTERM)
        self.assertEqual(self.lines_of("trained"),
                         ["deployed", "parity"] * 2)

    def test_another_trainer_trains_its_own_bundles(self):
        for count in (1, 2):
            demo = self.run_until("parm-load", hang="", count=count)
            demo.send_signal(signal.SIGTERM)
            self.expect_end(demo, 128 + signal.SIGTERM)
            with open(self.path("bin/parm-train"), "a",
                      encoding="utf-8") as file:
                file.write("# rebuilt\n")
        self.assertEqual(self.lines_of("trained"),
                         ["deployed", "parity"] * 2)

    def test_missing_program_is_told_in_a_sentence(self):
        for program in PROGRAMS:
            with self.subTest(program=program):
                path = self.path("bin", program)
                os.rename(path, path + ".away")
                output = self.expect_end(self.start(), 1)
                os.rename(path + ".away", path)
                self.assertIn(f"{path}: No such file or directory", output)
                self.assertNotIn("Traceback", output)


class ScriptTest(unittest.TestCase):
    """scripts/demo.sh up to its first step, which hangs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(self.path("scripts"))
        shutil.copy(os.path.join(ROOT, "scripts/demo.sh"),
                    self.path("scripts"))
        with open(self.path("scripts/bootstrap.sh"), "w",
                  encoding="utf-8") as file:
            file.write('#!/bin/sh\necho $$ >"$(dirname "$0")/pid"\n'
                       "for i in $(seq 300); do sleep 1; done\n")
        os.chmod(self.path("scripts/bootstrap.sh"), 0o755)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *arguments):
        demo = subprocess.Popen(
            ["bash", self.path("scripts/demo.sh"), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait)
        self.addCleanup(demo.kill)
        return demo

    def first_step(self):
        """Its process id; 0 until it runs."""
        try:
            with open(self.path("scripts/pid"), encoding="utf-8") as file:
                return int(file.read() or 0)
        except FileNotFoundError:
            return 0

    def test_signals_end_a_step_and_tell_which_it_was(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number.name):
                demo = self.start("--seconds", "5", "--seed=2")
                self.assertTrue(eventually(self.first_step))
                step = self.first_step()
                self.assertTrue(is_running(step, "bootstrap.sh"))
                demo.send_signal(number)
                demo.communicate(timeout=PATIENCE_S)
                self.assertEqual(demo.returncode, 128 + number)
                self.assertTrue(eventually(
                    lambda pid=step: not is_running(pid, "bootstrap.sh")))
                os.remove(self.path("scripts/pid"))

    def test_wrong_usage_is_told_before_any_step(self):
        for arguments in (("--secnods", "5"), ("--out",), ("--seconds",)):
            with self.subTest(arguments=arguments):
                demo = self.start(*arguments)
                output, _ = demo.communicate(timeout=PATIENCE_S)
                self.assertEqual(demo.returncode, 2)
                self.assertIn(f"demo.sh: {'unknown' * (len(arguments) > 1)}",
                              output)
        self.assertEqual(self.first_step(), 0)


if __name__ == "__main__":
    unittest.main()
