"""The harness that starts and ends frontends and workers."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.harness import usage  # noqa: E402
from experiments.harness.frontend import Metrics  # noqa: E402
from experiments.harness.processes import Job, ProcessSet  # noqa: E402

READY = "import time; print('thing ready zmq=tcp://h:1', flush=True); "


def python(code):
    return [sys.executable, "-c", code]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class ProcessSetTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.processes = ProcessSet(self._folder.name)
        self.addCleanup(self.processes.stop_all)

    def test_reads_the_words_of_the_ready_line(self):
        self.processes.start("one", python(READY + "time.sleep(60)"))
        self.assertEqual(self.processes.wait_ready("one", 30),
                         {"zmq": "tcp://h:1"})

    def test_ends_children_that_ignore_sigterm(self):
        code = ("import signal; "
                "signal.signal(signal.SIGTERM, signal.SIG_IGN); ")
        with self.processes:
            self.processes.start("deaf", python(code + READY +
                                                "time.sleep(60)"))
            self.processes.wait_ready("deaf", 30)
            pid = self.processes.pid("deaf")
            self.processes.stop_all(grace_s=0.1)
        self.assertFalse(is_running(pid))

    def test_child_that_dies_early_is_told_with_its_words(self):
        self.processes.start("bad", python("raise SystemExit('no port')"))
        with self.assertRaisesRegex(RuntimeError, "no port"):
            self.processes.wait_ready("bad", 30)
        with self.assertRaisesRegex(RuntimeError, "status 1"):
            self.processes.check_alive()

    def test_children_die_with_a_driver_that_is_killed(self):
        driver = (
            f"import sys; sys.path.insert(0, {ROOT!r}); "
            "from experiments.harness.processes import ProcessSet; "
            f"p = ProcessSet({self._folder.name!r}); "
            f"p.start('c', [sys.executable, '-c', {READY + 'time.sleep(60)'!r}"
            "]); p.wait_ready('c', 30); print(p.pid('c'), flush=True); "
            "import time; time.sleep(60)")
        with subprocess.Popen(python(driver),
                              stdout=subprocess.PIPE) as process:
            child = int(process.stdout.readline())
            # Readable once the child is gone.
            descriptor = os.pidfd_open(child)
            process.send_signal(signal.SIGKILL)
        self.assertTrue(select.select([descriptor], [], [], 30)[0])
        os.close(descriptor)


class JobsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.processes = ProcessSet(self.folder)
        self.addCleanup(self.processes.stop_all)

    def job(self, name, code, *needs):
        return Job(name, tuple(python(code)), needs)

    def test_job_starts_after_those_it_needs(self):
        path = os.path.join(self.folder, "order")
        jobs = [self.job(name, f"open({path!r}, 'a').write({name!r})", *needs)
                for name, *needs in ("cab", "b", "ab")]
        self.assertIsNone(self.processes.run_all(jobs, at_once=1))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "bac")

    def test_jobs_run_together_with_logs_of_their_own(self):
        # A pipe opens when both of its ends do.
        path = os.path.join(self.folder, "pipe")
        os.mkfifo(path)
        jobs = [self.job(mode, f"open({path!r}, {mode!r}); print({mode!r})")
                for mode in ("r", "w")]
        self.assertIsNone(self.processes.run_all(jobs, at_once=2))
        self.assertEqual(self.processes.log_tail("w"), "w\n")

    def test_failure_stops_the_others_and_starts_no_more(self):
        path = os.path.join(self.folder, "pipe")
        os.mkfifo(path)
        jobs = [self.job("long", f"open({path!r}, 'w'); "
                         "import time; time.sleep(60)"),
                self.job("bad", f"open({path!r}); raise SystemExit(3)"),
                self.job("never", "", "bad")]
        pids = []
        failed = self.processes.run_all(
            jobs, at_once=2,
            started=lambda job: job.name == "bad" and pids.append(
                self.processes.pid("long")))
        self.assertEqual(failed, (jobs[1], 3))
        self.assertFalse(is_running(pids[0]))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "never.log")))

    def test_jobs_that_wait_for_each_other_are_a_mistake(self):
        jobs = [self.job("a", "", "b"), self.job("b", "", "a")]
        with self.assertRaisesRegex(ValueError, "a waits for"):
            self.processes.run_all(jobs, at_once=2)


class UsageTest(unittest.TestCase):

    def test_cpu_of_threads_that_have_ended_is_counted(self):
        # Tells what it has used itself, most of it in a thread that is gone.
        code = ("import threading, time\n"
                "def burn():\n"
                "    while time.thread_time() < 0.3: pass\n"
                "thread = threading.Thread(target=burn)\n"
                "thread.start(); thread.join()\n"
                "print('thing ready cpu_s=%f' % time.process_time(),"
                " flush=True)\n"
                "time.sleep(60)")
        with tempfile.TemporaryDirectory() as folder:
            with ProcessSet(folder) as processes:
                processes.start("burner", python(code))
                told = float(processes.wait_ready("burner")["cpu_s"])
                self.assertGreaterEqual(
                    usage.cpu_s(processes.pid("burner")), told - 1e-5)

    def test_process_that_is_gone_is_told(self):
        with subprocess.Popen(python("")) as child:
            child.wait()
        with self.assertRaises(ProcessLookupError):
            usage.cpu_s(child.pid)


class MetricsTest(unittest.TestCase):
    TEXT = """# HELP a b
# TYPE parm_tasks_total counter
parm_tasks_total{model="m",attempt_type="original"} 30
parm_tasks_total{model="m",attempt_type="parity"} 15
parm_delay_seconds_bucket{le="0.001"} 98
parm_delay_seconds_bucket{le="0.01"} 99
parm_delay_seconds_bucket{le="+Inf"} 100
"""

    def test_sums_series_by_label(self):
        metrics = Metrics(self.TEXT)
        self.assertEqual(metrics.total("parm_tasks_total"), 45)
        self.assertEqual(
            metrics.total("parm_tasks_total", attempt_type="parity"), 15)
        self.assertEqual(metrics.total("parm_none"), 0)

    def test_quantile_is_the_bound_of_its_bucket(self):
        metrics = Metrics(self.TEXT)
        self.assertEqual(metrics.quantile("parm_delay_seconds", 0.5), 0.001)
        self.assertEqual(metrics.quantile("parm_delay_seconds", 0.99), 0.01)
        self.assertIsNone(metrics.quantile("parm_none", 0.5))


if __name__ == "__main__":
    unittest.main()
