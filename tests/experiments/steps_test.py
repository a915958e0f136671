"""Steps, pulses and silences: windows, ratios, verdicts, the program."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.tail import steps_report, windows  # noqa: E402

RUN = os.path.join(ROOT, "experiments", "tail", "run.sh")
_TYPE = [("due_s", "f4"), ("latency_ms", "f4"), ("outcome", "S3")]


def log(latency_of, end_s=36, rate=100, outcome_of=lambda due: "exa"):
    """Queries at a constant rate whose latency depends on when they are due."""
    dues = [2 + i / rate for i in range((end_s - 2) * rate)]
    return np.array([(due, latency_of(due), outcome_of(due)) for due in dues],
                    dtype=_TYPE)


def pooled(latency_of, **more):
    return windows.PooledLogs([log(latency_of, **more)] * 3)


class WindowsTest(unittest.TestCase):

    def test_windows_hold_what_is_due_in_them(self):
        logs = pooled(lambda due: 20.0 if due < 10 else 40.0)
        self.assertEqual(logs.at(0.5, 4, 10), 20.0)
        self.assertEqual(logs.at(0.5, 10, 12), 40.0)
        self.assertEqual([len(each) for each in logs.latencies(10, 12)],
                         [200] * 3)
        self.assertIsNone(logs.at(0.5, 90, 91))
        self.assertIsNone(logs.at(0.5, 4, 10, outcome="hed"))

    def test_goodput_counts_predictions_only(self):
        logs = pooled(lambda due: 20.0,
                      outcome_of=lambda due: "err" if due < 11 else "hed")
        self.assertEqual(list(logs.goodput(10, 12)), [100] * 3)

    def test_ratio_draws_the_same_seeds_for_both(self):
        mine = [np.array([value]) for value in (22.0, 33.0, 44.0)]
        theirs = [np.array([value]) for value in (20.0, 30.0, 40.0)]
        for each in windows.bootstrap_ratio(mine, theirs, 0.5):
            self.assertAlmostEqual(each, 1.1)

    def test_reads_what_parm_sim_wrote(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "log.csv")
            with open(path, "w", encoding="utf-8") as file:
                file.write("due_s,latency_ms,outcome\n2.5,20.5,reconstructed\n")
            read = windows.read_log(path)
        self.assertEqual(read["latency_ms"][0], 20.5)
        self.assertEqual(read["outcome"][0], b"rec")


class StepsReportTest(unittest.TestCase):

    def test_a_step_is_followed_from_the_second_on_that_stays_close(self):
        made = steps_report.evaluate_step({
            "none": pooled(lambda due: 200.0),
            "hedge": pooled(lambda due: 50.0),
            "hybrid": pooled(lambda due: 100.0 if 10 <= due < 13 else 52.0),
            "hybrid_pack": pooled(lambda due: 70.0)})
        self.assertEqual(made["best_static"], "hedge")
        policies = made["policies"]
        self.assertEqual(policies["hybrid"]["within_10_percent_from_s"], 3)
        self.assertIsNone(policies["hybrid_pack"]["within_10_percent_from_s"])
        self.assertAlmostEqual(policies["hybrid"]["ratio"][0][0], 2.0)
        text = "\n".join(steps_report._step_lines(made))
        self.assertIn("from second 3 after the step on: reached", text)
        self.assertIn("never stays within 10 %: missed", text)

    def test_a_pulse_costs_goodput_and_passes(self):
        def outcome(due):
            return "err" if 10 <= due < 11 else "exa"
        made = steps_report.evaluate_pulse({
            "none": pooled(lambda due: 20.0),
            "hybrid": pooled(lambda due: 90.0 if 10 <= due < 13.2 else 20.0,
                             outcome_of=outcome),
            "hybrid_pack": pooled(lambda due: 90.0 if due >= 10 else 20.0)})
        hybrid = made["policies"]["hybrid"]
        self.assertAlmostEqual(hybrid["over_none"][0], 600 / 700)
        self.assertEqual(hybrid["median_back_after_s"], 1.0)
        self.assertEqual(hybrid["p99_back_after_s"], 1.5)
        text = "\n".join(steps_report._pulse_lines(made))
        self.assertIn("`hybrid`: goodput at least 0.99 of `none`: missed; back "
                      "within 5 s: reached", text)
        self.assertIn("`hybrid_pack`: goodput at least 0.99 of `none`: "
                      "reached; back within 5 s: missed", text)

    def test_a_trigger_that_rises_in_silence_is_a_ratchet(self):
        made = steps_report.evaluate_silence({
            "hedge": pooled(lambda due: 40.0 + (due if due > 6 else 0),
                            outcome_of=lambda due: "hed"),
            "hybrid": pooled(lambda due: 30.0)})
        text = "\n".join(steps_report._silence_lines(made))
        self.assertIn("`hedge`: p99.9 of the last five seconds", text)
        self.assertIn("it rises", text)
        self.assertIn("1.00 (1.00 .. 1.00): no ratchet", text)
        self.assertEqual(
            made["policies"]["hybrid"]["hedged_median_ms"], [None] * 6)


class StepsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = folder.name

    def run_steps(self, *arguments):
        return subprocess.run(
            ["bash", RUN, "steps", "--bin", os.environ["PARM_BIN"], "--out",
             self.out, *arguments],
            capture_output=True, text=True, timeout=500, check=False)

    def test_each_case_leaves_its_figures(self):
        result = self.run_steps("--seeds", "2", "--policies", "none", "hybrid")
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(os.path.join(self.out, "steps.json"),
                  encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        self.assertEqual(list(cases), ["load_step", "straggler_step",
                                       "overload_pulse", "silent_worker"])
        step = cases["load_step"]["policies"]
        self.assertEqual(len(step["hybrid"]["ratio"]), 6)
        self.assertNotIn("ratio", step["none"])
        pulse = cases["overload_pulse"]["policies"]
        self.assertEqual(pulse["none"]["over_none"][0], 1.0)
        # Without redundancy what the silent worker was given has no answer.
        silence = cases["silent_worker"]["policies"]
        self.assertGreater(silence["none"]["unanswered"][0], 0)
        with open(os.path.join(self.out, "steps.md"),
                  encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(text.count("\n## "), 4)

    def test_goodput_wants_none_beside(self):
        result = self.run_steps("--policies", "hybrid")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--policies wants none", result.stderr)


if __name__ == "__main__":
    unittest.main()
