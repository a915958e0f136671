"""The simulated grid: its rows, its report, and what ends it."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.tail import grid_report  # noqa: E402

RUN = os.path.join(ROOT, "experiments", "tail", "run.sh")


def row(policy, load, seed, p99_9_ms, accuracy=0.9):
    return {"scenario": "s", "load": load, "policy": policy, "servers": 24,
            "seed": seed, "p50_ms": 20.0, "p99_ms": 30.0,
            "p99_9_ms": p99_9_ms, "p99_9_ci_ms": [p99_9_ms, None],
            "late_share": 0.01, "share_reconstructed": 0.02,
            "share_unanswered": 0.0, "delivered_accuracy": accuracy,
            "extra_jobs_per_query": 0.5, "extra_service_per_query": 0.25}


def grid(*arguments):
    return subprocess.run(
        ["bash", RUN, "grid", "--bin", os.environ["PARM_BIN"], *arguments],
        capture_output=True, text=True, timeout=250, check=False)


class GridReportTest(unittest.TestCase):

    def test_the_best_rival_of_each_load_is_bold(self):
        text = grid_report.markdown(
            [row("none", 0.3, 1, 200.0), row("none", 0.3, 2, 220.0),
             row("coded", 0.3, 1, 40.0), row("coded", 0.3, 2, 50.0),
             row("oracle", 0.3, 1, 23.0), row("oracle", 0.3, 2, 24.0)])
        self.assertIn("| none | 210.0 (200.0..220.0) |", text)
        self.assertIn("| coded | **45.0** (40.0..50.0) |", text)
        self.assertIn("| oracle | 23.5 (23.0..24.0) |", text)
        self.assertIn(
            "| 0.3 | none | 20.0 | 30.0 | 1.00 | 2.00 | 0.000 | 90.00 | 0.500 "
            "| 0.250 |", text)

    def test_what_is_missing_is_a_dash(self):
        text = grid_report.markdown([row("none", 0.3, 1, 200.0, None),
                                     row("coded", 0.5, 1, 40.0)])
        self.assertIn("| none | **200.0** (200.0..200.0) | - |", text)
        self.assertIn("| 0.000 | - | 0.500 |", text)


class GridTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.out = self._folder.name

    def test_a_small_grid_has_a_row_for_each_cell(self):
        result = grid("--scenarios", "slow_jobs_1", "trace", "--policies",
                      "none", "hedge", "--loads", "0.5", "--seeds", "2",
                      "--queries", "300", "--out", self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(os.path.join(self.out, "grid.json"),
                  encoding="utf-8") as file:
            rows = json.load(file)
        cells = {(r["scenario"], r["policy"], r["load"], r["seed"])
                 for r in rows}
        self.assertEqual(len(rows), 2 * 3 * 2)
        self.assertEqual(len(cells), len(rows))
        self.assertIn(("trace", "oracle", 0.5, 2), cells)
        self.assertEqual(set(rows[0]), set(row("none", 0.3, 1, 200.0)))
        for name in ("grid.md", "grid.png"):
            self.assertGreater(
                os.path.getsize(os.path.join(self.out, name)), 100)

    def test_the_simulators_sentence_ends_it(self):
        result = grid("--scenarios", "slow_jobs_1", "--policies", "nosuch",
                      "--out", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("nosuch.yaml", result.stderr)
        self.assertEqual(os.listdir(self.out), [])

    def test_other_words_are_wrong_usage(self):
        result = subprocess.run(["bash", RUN, "gird"], capture_output=True,
                                text=True, timeout=250, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("want quick, full or grid", result.stderr)


if __name__ == "__main__":
    unittest.main()
