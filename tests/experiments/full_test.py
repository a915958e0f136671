"""The live cells: one report over their folders, what ends them."""

import json
import os
import sys
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)
sys.path.insert(0, os.path.join(ROOT, "tests", "experiments"))

from experiments.tail import full_report  # noqa: E402
from parm_experiment_test import LiveStubTest  # noqa: E402


def figures(p99_9_ms, low, high):
    return {"queries": 60_000, "p50_ms": [20.7, 20.7, 20.8],
            "p99_ms": [40.0, 39.0, None], "p99.9_ms": [p99_9_ms, low, high],
            "above_2_service": [0.01, 0.02, 0.03],
            "above_3_service": [0.01] * 3, "above_5_service": [0.0] * 3}


def run_of(policy, repeat, lost=0):
    return {"policy": policy, "repeat": repeat, "queries": 20_000,
            "answers": {"reconstructed": 1_000, "lost": lost},
            "accuracy": {"delivered": 0.895, "exact": 0.896},
            "extra_jobs_per_query": 0.1 * repeat, "refused": None}


def cell(p99_9_of, incomplete=None):
    """p99_9_of: policy -> (value, low, high), or None if all were refused."""
    return {
        "summary": {"incomplete": incomplete, "scenarios": [{
            "scenario": "slow_jobs_1", "load": 0.3, "workers": 16, "host": [],
            "figures": {policy: figure and figures(*figure)
                        for policy, figure in p99_9_of.items()},
            "claims": [{"policy": "hybrid", "rival": "hedge", "quantile": name,
                        "difference_ms": [-5.0, -6.0, -4.0],
                        "ratio": [0.9, 0.85, 0.95]}
                       for name in ("p99", "p99.9")]}]},
        "record": {"seed": 1, "commit": "abc", "machine": "two cores",
                   "config": {"repeats": 3, "seconds": 60,
                              "scenario": ["slow_jobs_1.yaml"]},
                   "runs": [run_of(policy, repeat) for policy in p99_9_of
                            for repeat in range(3)]}}


class FullReportTest(unittest.TestCase):

    def test_a_row_has_the_cells_figures_and_its_ratio(self):
        text = full_report.markdown({"slow_jobs_1_03": cell(
            {"hedge": (45.0, 44.0, 46.0), "hybrid": (40.0, 36.0, 44.0)})})
        self.assertIn(
            "| slow_jobs_1_03 | hybrid | 20.7 (20.7 .. 20.8) | "
            "40.0 (39.0 .. -) | 40.0 (36.0 .. 44.0) | 0.90 (0.85 .. 0.95) | "
            "2.00 | 1.00 | 0.00 | 5.00 | 89.50 | 89.60 | 0.100 | 0 |", text)
        self.assertIn("| slow_jobs_1_03 | hedge | ", text)
        # 44 - 36 is a fifth of 40.
        self.assertIn("wider than 15 % of it: slow_jobs_1_03 hybrid 20 %.",
                      text)
        self.assertNotIn("Simulated", text)

    def test_a_run_that_was_left_out_is_named(self):
        one = cell({"hedge": (45.0, 44.0, 46.0)})
        self.assertIn("Runs left out: none.", full_report.markdown({"a": one}))
        one["record"]["runs"][1]["refused"] = "2 % of the sends left late"
        self.assertIn("Runs left out: a hedge, repeat 1: 2 % of the sends left "
                      "late.", full_report.markdown({"a": one}))

    def test_cells_of_two_commits_are_told_apart(self):
        cells = {name: cell({"hedge": (45.0, 44.0, 46.0)})
                 for name in ("a", "b", "c")}
        cells["b"]["record"]["commit"] = "def"
        self.assertIn("Commits abc (a, c); def (b), two cores.",
                      full_report.markdown(cells))
        cells["b"]["record"]["commit"] = "abc"
        self.assertIn("Commit abc, two cores.", full_report.markdown(cells))

    def test_what_is_missing_is_told(self):
        text = full_report.markdown({"a": cell(
            {"hedge": None, "none": (200.0, None, None)}, "ended by SIGINT")})
        self.assertIn("**a is incomplete**: ended by SIGINT.", text)
        self.assertIn("| a | hedge | refused | - |", text)
        self.assertIn("wider than 15 % of it: a none - %.", text)

    def test_simulated_figures_are_held_against_live_ones(self):
        cells = {"a": cell({"none": (200.0, 198.0, 202.0),
                            "hedge": (45.0, 44.0, 46.0)})}
        text = full_report.markdown(cells, {"a": {
            "none": {"p50_ms": 20.7, "p99_9_ms": 210.0},
            "hedge": {"p50_ms": 22.5, "p99_9_ms": 60.0}}})
        self.assertIn("| a | none | 20.7 | 20.7 | +0 % | "
                      "200.0 (198.0 .. 202.0) | 210.0 | +5 % |", text)
        self.assertIn("p50 agrees within 5 % in 1 of 2, p99.9 within 15 % in 1.",
                      text)


class FullTest(LiveStubTest):

    def start_full(self, *arguments):
        return self.start(("tail", "full.py"), *arguments)

    def write_cell(self, folder, name):
        os.makedirs(os.path.join(folder, name))
        for document, text in cell({"hedge": (45.0, 44.0, 46.0)}).items():
            with open(os.path.join(folder, name, document + ".json"), "w",
                      encoding="utf-8") as file:
                json.dump(text, file)

    def test_folders_that_are_there_make_a_report(self):
        folder = self.path("there")
        self.write_cell(folder, "slow_jobs_1_03")
        self.write_cell(folder, "slow_mode_03")
        os.makedirs(os.path.join(folder, "no_cell"))
        self.expect_end(self.start_full("--report-only", folder, "--simulate",
                                        "--queries", "1000"), 0)
        with open(os.path.join(folder, "report.md"),
                  encoding="utf-8") as file:
            text = file.read()
        self.assertIn("| slow_jobs_1_03 | hedge | 20.7", text)
        self.assertIn("| slow_mode_03 | hedge | 20.7", text)
        self.assertNotIn("no_cell", text)
        self.assertRegex(text, r"p50 agrees within 5 % in \d of 2")

    def test_a_folder_without_cells_is_told(self):
        said = self.expect_end(
            self.start_full("--report-only", self.path("nowhere")), 1)
        self.assertIn("no cell lies in", said)

    def test_a_cell_that_fails_ends_the_whole_and_is_kept(self):
        self.write("worker_dies")
        driver = self.start_full("--cells", "slow_jobs_8_02", "slow_mode_03",
                                 "--seconds", "1")
        said = self.expect_end(driver, 1)
        self.assertIn("slow_jobs_8_02: parm-experiment ended with status 1",
                      said)
        self.assertIn("**Incomplete**", self.read("slow_jobs_8_02",
                                                  "report.md"))
        self.assertFalse(os.path.exists(os.path.join(self.out,
                                                     "slow_mode_03")))


if __name__ == "__main__":
    unittest.main()
