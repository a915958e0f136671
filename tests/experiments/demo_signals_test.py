"""The demo's driver over stubs: signals at each of its stages leave nothing
running, a cache that is refused is made anew, errors are sentences.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.environ["PARM_SOURCE"]
PATIENCE_S = 60
PROGRAMS = ("parm-train", "parm-worker", "parm-frontend", "parm-load")


def is_running(pid, word):
    """Whether this process runs, with `word` on its command line: another may
    have its number by now.
    """
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            return word in file.read()  # a zombie's is empty
    except OSError:
        return False


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class DemoTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.makedirs(self.path("bin"))
        with open(os.path.join(ROOT, "tests/experiments/demo_stub.py"),
                  encoding="utf-8") as file:
            text = f"#!{sys.executable}\n{file.read()}"
        for name in PROGRAMS:
            with open(self.path("bin", name), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(self.path("bin", name), 0o755)

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


if __name__ == "__main__":
    unittest.main()
