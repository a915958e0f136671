"""The simulated grid: its rows, its report, and what ends it."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.tail import grid_claims  # noqa: E402
from experiments.tail import grid_report  # noqa: E402

RUN = os.path.join(ROOT, "experiments", "tail", "run.sh")


def row(policy, load, seed, p99_9_ms, accuracy=0.9):
    return {"scenario": "s", "load": load, "policy": policy, "servers": 24,
            "seed": seed, "p50_ms": 20.0, "p99_ms": 30.0,
            "p99_9_ms": p99_9_ms, "p99_9_ci_ms": [p99_9_ms, None],
            "over_2_service": 0.02, "over_3_service": 0.01,
            "over_5_service": 0.005,
            "late_share": 0.01, "share_reconstructed": 0.02,
            "share_backup": 0.0, "share_unanswered": 0.0,
            "exact_accuracy": 0.903, "delivered_accuracy": accuracy,
            "extra_jobs_per_query": 0.5, "extra_service_per_query": 0.25,
            "wasted_service_per_query": 0.2}


def grid(*arguments):
    return subprocess.run(
        ["bash", RUN, "grid", "--bin", os.environ["PARM_BIN"], *arguments],
        capture_output=True, text=True, timeout=250, check=False)


class GridReportTest(unittest.TestCase):

    def test_the_best_rival_of_each_load_is_bold(self):
        text = grid_report.markdown(
            [row("none", 0.3, 1, 200.0), row("none", 0.3, 2, 220.0),
             row("coded", 0.3, 1, 40.0), row("coded", 0.3, 2, 50.0),
             row("oracle", 0.3, 1, 23.0), row("oracle", 0.3, 2, 24.0),
             row("infinite_servers", 0.3, 1, 19.0)])
        self.assertIn("| none | 210.0 (200.0..220.0) |", text)
        self.assertIn("| coded | **45.0** (40.0..50.0) |", text)
        self.assertIn("| oracle | 23.5 (23.0..24.0) |", text)
        self.assertIn(
            "| 0.3 | none | 20.0 | 30.0 | 2.000 | 1.000 | 0.500 | 1.00 | 2.00 "
            "| 0.000 | 90.00 | 0.500 | 0.250 | 0.200 |", text)

    def test_what_is_missing_is_a_dash(self):
        text = grid_report.markdown([row("none", 0.3, 1, 200.0, None),
                                     row("coded", 0.5, 1, 40.0)])
        self.assertIn("| none | **200.0** (200.0..200.0) | - |", text)
        self.assertIn("| 0.000 | - | 0.500 |", text)

    def test_a_scenario_shows_the_loads_that_it_has(self):
        text = grid_report.markdown([row("none", 0.3, 1, 200.0),
                                     {**row("none", 0.01, 1, 200.0),
                                      "scenario": "quiet"}])
        self.assertIn("| p99.9, ms | load 0.3 |", text)
        self.assertIn("| p99.9, ms | load 0.01 |", text)


class GridClaimsTest(unittest.TestCase):

    def test_interval_of_the_mean_is_students(self):
        mean, low, high = grid_claims.mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
        # s = 1.581, t = 2.78 for 4 degrees of freedom.
        self.assertEqual(mean, 3.0)
        self.assertAlmostEqual(high - mean, 2.78 * 1.5811 / 5 ** 0.5, places=3)
        self.assertAlmostEqual(mean - low, high - mean)
        self.assertEqual(grid_claims.mean_interval([7.0]), (7.0, None, None))
        # Between two lines of the table: the wider one.
        self.assertEqual(grid_claims.student_t(13), grid_claims.student_t(10))

    def test_ratio_pairs_the_seeds_that_both_have(self):
        ratio = grid_claims.paired_ratio({1: 20.0, 2: 40.0, 3: 99.0},
                                         {1: 10.0, 2: 20.0})
        for each in ratio:
            self.assertAlmostEqual(each, 2.0)

    def rows(self, policy, *values, **more):
        return [{**row(policy, 0.3, seed, value), "scenario": "slow_jobs_1",
                 **more} for seed, value in enumerate(values, start=1)]

    def test_being_behind_beyond_the_interval_is_told(self):
        rivals = (self.rows("hedge", 40.0, 41.0, 42.0) +
                  self.rows("backup", 30.0, 31.0, 32.0) +
                  self.rows("oracle", 10.0, 10.0, 10.0))
        text = grid_claims.markdown(
            rivals + self.rows("hybrid", 36.0, 37.2, 38.4))
        self.assertIn("`hybrid` is more than 5 % behind the best static policy "
                      "beyond the interval in 1 of 1 cells", text)
        self.assertIn("slow_jobs_1 at 0.3: 37.2 ms against 31.0 of `backup`, "
                      "ratio 1.20 (1.20 .. 1.20)", text)
        self.assertIn("`hybrid` is slower than `backup` at p99.9 beyond the "
                      "interval in 1 of 1 cells", text)
        # The same ratio in the mean, but some seeds are far better.
        text = grid_claims.markdown(
            rivals + self.rows("hybrid", 20.0, 31.0, 60.0))
        self.assertIn("beyond the interval in 0 of 1 cells", text)

    def test_goals_against_the_hedge_are_reached_or_missed(self):
        hedge = self.rows("hedge", 40.0, 41.0, 42.0)
        for values, verdict in (((24.0, 25.0, 26.0), "0.85: reached"),
                                ((39.0, 40.0, 41.0), "0.85: missed"),
                                ((20.0, 40.0, 39.0),
                                 "0.85: reached in the mean only")):
            with self.subTest(values=values):
                text = grid_claims.markdown(
                    hedge + self.rows("hybrid", *values))
                self.assertIn(verdict + "\n", text)
                ahead = 0 if verdict.endswith("missed") else 1
                self.assertIn(f"at least 5 % ahead of the best hedge in "
                              f"{ahead} of 1 cells", text)

    def test_accuracy_and_share_are_held_against_their_goals(self):
        text = grid_claims.markdown(
            self.rows("none", 200.0) +
            self.rows("hybrid", 40.0, delivered_accuracy=0.9,
                      share_reconstructed=0.02, late_share=0.01))
        self.assertIn("`hybrid` delivers within 0.2 points of exact in 0 of 1 "
                      "cells at load up to 0.75; at most 0.30 points are lost, "
                      "slow_jobs_1 at 0.3.", text)
        self.assertIn("more than 1.3 times the late share in 1 of 1 cells: "
                      "slow_jobs_1 at 0.3 2.00 % of 1.00 %.", text)

    def test_extra_work_is_held_against_its_budget(self):
        text = grid_claims.markdown(
            self.rows("hybrid", 40.0, 41.0, extra_service_per_query=0.545))
        self.assertIn("in 1 of 1 cells with slow jobs; it spends at most 0.50 "
                      "of it, slow_jobs_1 at 0.3.", text)
        text = grid_claims.markdown(
            self.rows("hybrid", 40.0, extra_service_per_query=1.2))
        self.assertIn("in 0 of 1 cells with slow jobs", text)

    def test_rows_without_the_product_make_no_claim(self):
        self.assertEqual(grid_claims.markdown(self.rows("none", 200.0)), "")


class GridTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.out = self._folder.name

    def test_a_small_grid_has_a_row_for_each_cell(self):
        result = grid("--scenarios", "slow_jobs_1", "trace", "--policies",
                      "none", "hedge", "oracle", "--loads", "0.5", "--seeds",
                      "2",
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

    def test_each_scenario_has_loads_of_its_own(self):
        result = grid("--scenarios", "very_low_load", "kill_restart",
                      "--policies", "none", "--seeds", "1", "--queries", "200",
                      "--out", self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(os.path.join(self.out, "grid.json"),
                  encoding="utf-8") as file:
            rows = json.load(file)
        self.assertEqual([(r["scenario"], r["load"]) for r in rows],
                         [("very_low_load", 0.01), ("kill_restart", 0.3),
                          ("kill_restart", 0.65)])
        unknown = grid("--scenarios", "straggler_step", "--out", self.out)
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("no loads are known for straggler_step", unknown.stderr)

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
        self.assertIn("want quick, full, grid or steps", result.stderr)


if __name__ == "__main__":
    unittest.main()
