"""The accuracy suite's record, its tables, and the commands it runs."""

import contextlib
import dataclasses
import io
import json
import lzma
import os
import shutil
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.accuracy import report, run_suite, suites  # noqa: E402
from experiments.data import residual_pictures  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402

SUITE = suites.SUITES["fashion"]
TILE = suites.Unit("tile", 2, 5, seeds=(1, 2))
NARROW = suites.Unit("pack", 4, 5, work_fraction=0.25)
RUNS = [(TILE, 1), (TILE, 2), (NARROW, 1)]

# Answers as parm-train does, with the arguments it got in calls.txt.
STUB = """#!/usr/bin/env -S python3 -SE
import json, os, sys
words = sys.argv[1:]
folder = os.path.dirname(sys.argv[0])
with open(folder + "/calls.txt", "a") as file:
    file.write(" ".join(words) + "\\n")
def after(flag):
    return [words[i + 1] for i in range(len(words)) if words[i] == flag]
for out in after("--out"):
    os.mkdir(out)
    with open(out + "/bundle.yaml", "w") as file:
        file.write("training: {seconds: 60.0}\\n")
figures = {"a_d": {"1": 0.9}, "a_d_se": {"1": 0.003}, "ece": None,
           "risk_coverage": [], "bytes": 3136, "k": 4, "rows": []}
if words[0] == "frontier":
    figures = {"machine": "stub", "samples": 10, "a_a": 0.92, "units": [
        {**figures, "unit": name, "exact": False, "relative_cost": 1.0, "k": 2}
        for name in after("--parity")]}
    open(after("--picture")[0], "w").close()
for path in after("--json"):
    with open(path, "w") as file:
        json.dump(figures, file)
"""


def report_of(a_d):
    return {"a_d": {"2": a_d, "1": a_d}, "a_d_se": {"1": 0.003, "2": 0.003},
            "ece": 0.01, "bytes": 3136, "risk_coverage": [
                {"coverage": 0.4, "accuracy": 0.999,
                 "deployed_accuracy": 0.999},
                {"coverage": 0.5, "accuracy": 0.99,
                 "deployed_accuracy": 0.995}]}


def frontier_unit(name, k, relative_cost, exact=False):
    return {"unit": name, "k": k, "relative_cost": relative_cost,
            "exact": exact, "bytes": 6272, "ece": None,
            "a_d": {"1": 0.92}, "a_d_se": {"1": 0.003}}


class ReportTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        bundles = [unit.bundle(seed) for unit, seed in RUNS]
        for bundle in ["deployed", NARROW.backup(1), *bundles]:
            os.mkdir(os.path.join(folder.name, bundle))
            path = os.path.join(folder.name, bundle, "bundle.yaml")
            with open(path, "w", encoding="utf-8") as file:
                # A pack through a model that exists has trained nothing.
                file.write("model: a\n" if bundle == NARROW.bundle(1)
                           else "training: {seconds: 120.0}\n")
        frontier = {
            "a_a": 0.92, "machine": "a machine", "samples": 10000,
            "units": [
                frontier_unit(os.path.join(folder.name, TILE.bundle(1)), 2,
                              1.04),
                frontier_unit(os.path.join(folder.name, NARROW.bundle(1)), 4,
                              1.5),
                frontier_unit("deployed", 4, 3.5, exact=True)],
        }
        self.record = report.make_record(
            SUITE, RUNS, [report_of(a_d) for a_d in (0.91, 0.914, 0.912)],
            frontier, [{"k": 8, "rows": [{
                "variant": "published", "accuracy": 0.5,
                "standard_error": 0.01}]}],
            ["sum3-seed1"], out=folder.name, commit="abc", quick=False)

    def test_record_has_a_row_per_unit_seed_and_losses(self):
        rows = self.record["rows"]
        self.assertEqual([(row["unit"], row["seed"], row["losses"])
                          for row in rows],
                         [("tile2", 1, 1), ("tile2", 1, 2), ("tile2", 2, 1),
                          ("tile2", 2, 2), ("narrow4", 1, 1),
                          ("narrow4", 1, 2), ("pack4", 1, 1)])
        for row in rows:
            self.assertLessEqual(
                {"dataset", "arch", "scheme", "k", "r", "losses", "a_a", "a_d",
                 "a_d_se", "ece", "relative_cost", "bytes", "seed",
                 "train_s_deployed", "train_s_parity", "device"}, set(row))
        self.assertEqual(rows[4]["train_s_parity"], 120)
        self.assertEqual(rows[6]["train_s_parity"], 0)

    def test_time_of_training_holds_what_it_started_from(self):
        units = (suites.Unit("sum", 2, 5), suites.Unit("sum", 3, 5, start="sum2"),
                 suites.Unit("sum", 4, 5, start="sum3"))
        suite = dataclasses.replace(SUITE, units=units)
        with tempfile.TemporaryDirectory() as folder:
            for unit, seconds in zip(units, (100.0, 20.0, 3.0)):
                os.mkdir(os.path.join(folder, unit.bundle(1)))
                path = os.path.join(folder, unit.bundle(1), "bundle.yaml")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"training: {{seconds: {seconds}}}\n")
            os.mkdir(os.path.join(folder, "deployed"))
            with open(os.path.join(folder, "deployed", "bundle.yaml"), "w",
                      encoding="utf-8") as file:
                file.write("model: a\n")
            record = report.make_record(
                suite, [(unit, 1) for unit in units], [report_of(0.9)] * 3,
                {"a_a": 0.92, "machine": "a machine", "samples": 10000,
                 "units": [frontier_unit(os.path.join(folder, unit.bundle(1)),
                                         unit.k, 1.0) for unit in units]},
                [], [], out=folder, commit="abc", quick=False)
        self.assertEqual([row["train_s_parity"] for row in record["rows"]
                          if row["losses"] == 1], [100, 120, 123])

    def test_two_losses_stand_side_by_side(self):
        lines = report.make_table(SUITE, self.record).splitlines()
        narrow = next(line for line in lines
                      if line.startswith("| `pack`, a model") and "| 1 | 1 |" in line)
        self.assertEqual(
            narrow, "| `pack`, a model of 0.25 of the work | 1 | 1 | 91.20 "
            "| 91.20 | 0.30 | 1.50 |")

    def test_unit_of_several_parities_is_one_row(self):
        unit = suites.Unit("weighted", 4, 5, r=2)
        suite = dataclasses.replace(SUITE, units=(unit,))
        with tempfile.TemporaryDirectory() as folder:
            for part in ("deployed", "weighted4-seed1/0", "weighted4-seed1/1"):
                os.makedirs(os.path.join(folder, part))
                path = os.path.join(folder, part, "bundle.yaml")
                with open(path, "w", encoding="utf-8") as file:
                    file.write("training: {seconds: 60.0}\n")
            record = report.make_record(
                suite, [(unit, 1)], [report_of(0.8)],
                {"a_a": 0.92, "machine": "a machine", "samples": 10000,
                 "units": [frontier_unit(os.path.join(folder, unit.bundle(1)),
                                         4, 2.0)]},
                [], [], out=folder, commit="abc", quick=False)
        self.assertEqual([(row["r"], row["losses"], row["train_s_parity"])
                          for row in record["rows"]],
                         [(2, 1, 120), (2, 2, 120)])
        self.assertIn("| `weighted`, r = 2 | 1 | 2 | 80.00 | 80.00 |",
                      report.make_table(suite, record))

    def test_record_names_no_folder_of_this_machine(self):
        self.assertEqual([unit["unit"] for unit in
                          self.record["frontier"]["units"]],
                         [TILE.bundle(1), NARROW.bundle(1), "deployed"])

    def test_table_gives_means_and_spreads_of_seeds(self):
        lines = report.make_table(SUITE, self.record).splitlines()
        tile = next(line for line in lines if line.startswith("| `tile`"))
        cells = [cell.strip() for cell in tile.split("|")[1:-1]]
        self.assertEqual(cells[:7], ["`tile`", "2", "91.20", "0.30",
                                     "91.00 .. 91.40", "0.80", "1.80"])
        self.assertEqual(cells[8:], ["1.04", "3136", "5", "2", "1.0"])

    def test_targets_name_what_reached_them(self):
        lines = report.make_table(SUITE, self.record).splitlines()
        proper = next(line for line in lines if line.startswith("| parity pr"))
        self.assertIn("<= 0.70: 0.80 (`tile`), **missed**", proper)
        self.assertIn("<= 1.20: not measured", proper)
        # Neither the narrow pack nor the deployed model costs one query only.
        any_unit = next(line for line in lines if line.startswith("| any"))
        self.assertIn("<= 0.90: not measured", any_unit)

    def test_what_was_left_out_is_named(self):
        table = report.make_table(SUITE, self.record)
        self.assertIn("Not in this run: sum3-seed1.", table)
        table = report.make_table(SUITE, {**self.record, "left_out": []})
        self.assertNotIn("Not in this run", table)

    def test_most_confident_half_stands_beside_the_deployed_model(self):
        lines = report.make_table(SUITE, self.record).splitlines()
        self.assertIn("| tile2-seed1 | 99.00 | 99.50 | 0.50 |", lines)

    def test_training_free_codes_are_told_apart(self):
        lines = report.make_table(SUITE, self.record).splitlines()
        self.assertIn("| published | 8 | 50.00 | 1.00 |", lines)
        self.assertNotIn("berrut", [row["scheme"]
                                    for row in self.record["rows"]])

    def test_smoke_run_says_what_its_figures_are_worth(self):
        self.assertNotIn("smoke", report.make_table(SUITE, self.record))
        table = report.make_table(SUITE, {**self.record, "quick": True})
        self.assertIn("no figure here means anything", table)


class RunnerTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        stub = os.path.join(self.folder, "parm-train")
        with open(stub, "w", encoding="utf-8") as file:
            file.write(STUB)
        os.chmod(stub, 0o755)
        os.environ["PARM_BIN"] = os.environ["PARM_DATA"] = self.folder
        self.addCleanup(os.environ.pop, "PARM_BIN")
        self.addCleanup(os.environ.pop, "PARM_DATA")
        self.out = os.path.join(self.folder, "out")

    def put_bundles(self, *names):
        for name in names:
            os.makedirs(os.path.join(self.out, name))
            path = os.path.join(self.out, name, "bundle.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write("training: {seconds: 60.0}\n")

    def run_quick(self, *more):
        argv = ["run.sh", "fashion", "--quick", *more, "--out", self.out,
                "--results", os.path.join(self.folder, "results")]
        with contextlib.redirect_stdout(io.StringIO()):
            old, sys.argv = sys.argv, argv
            try:
                run_suite.main()
            finally:
                sys.argv = old
        with open(os.path.join(self.folder, "calls.txt"),
                  encoding="utf-8") as file:
            return [line.split()[0] for line in file]

    def test_second_run_trains_nothing_again(self):
        first = self.run_quick()
        self.assertEqual(first[0], "deployed")
        self.assertEqual(first[-3:], ["frontier", "berrut", "berrut"])
        again = self.run_quick()[len(first):]
        self.assertEqual(set(again), {"evaluate", "frontier", "berrut"})
        with open(os.path.join(self.folder, "results", "fashion.json"),
                  encoding="utf-8") as file:
            record = json.load(file)
        self.assertTrue(record["quick"])
        self.assertTrue(record["rows"])

    def test_jobs_at_once_make_the_same_and_have_logs(self):
        one_by_one = self.run_quick()
        for folder in ("out", "results"):
            shutil.rmtree(os.path.join(self.folder, folder))
        together = self.run_quick("--jobs", "3")[len(one_by_one):]
        self.assertEqual(together[0], "deployed")
        self.assertEqual(sorted(together), sorted(one_by_one))
        self.assertTrue(os.path.exists(
            os.path.join(self.out, "tile2-seed1.log")))

    def test_backup_that_several_units_pack_is_trained_once(self):
        units = [dataclasses.replace(NARROW, k=k) for k in (2, 4)]
        with ProcessSet(self.out) as processes:
            runner = run_suite.Runner(SUITE, processes, "idx:x", self.out,
                                      quick=False)
            with contextlib.redirect_stdout(io.StringIO()):
                runner.train([(unit, 1) for unit in units], at_once=2)
        with open(os.path.join(self.folder, "calls.txt"),
                  encoding="utf-8") as file:
            words = [line.split()[0] for line in file]
        self.assertEqual(words, ["deployed", "backup", "parity", "parity"])

    def test_report_can_do_with_what_is_trained(self):
        self.put_bundles("deployed", "tile2-seed1")
        # The first makes a pack that needs no training.
        self.assertEqual(self.run_quick("--trained-only"),
                         ["parity", "evaluate", "evaluate", "frontier",
                          "berrut", "berrut"])
        with open(os.path.join(self.out, "fashion.md"),
                  encoding="utf-8") as file:
            left_out = file.read().partition("Not in this run: ")[2]
        self.assertIn("sum2-seed1, ", left_out)
        self.assertNotIn(" tile2-seed1", left_out.partition("\n")[0])

    def run_two_seeds(self, *more):
        suite = dataclasses.replace(
            SUITE, units=(TILE, dataclasses.replace(TILE, k=4)),
            training_free=())
        argv = ["run.sh", "fashion", *more, "--out", self.out]
        with mock.patch.dict(run_suite.SUITES, {"fashion": suite}), \
                mock.patch.object(sys, "argv", argv), \
                contextlib.redirect_stdout(io.StringIO()):
            run_suite.main()
        with open(os.path.join(self.folder, "calls.txt"),
                  encoding="utf-8") as file:
            return [line.split() for line in file]

    def test_every_unit_is_trained_once_before_second_seeds(self):
        trained = [os.path.basename(words[words.index("--out") + 1])
                   for words in self.run_two_seeds() if "--out" in words]
        self.assertEqual(trained, ["deployed", "tile2-seed1", "tile4-seed1",
                                   "tile2-seed2", "tile4-seed2"])

    def test_cost_is_that_of_the_first_seed_that_is_there(self):
        self.put_bundles("deployed", "tile2-seed2")
        frontier = next(words for words in self.run_two_seeds("--trained-only")
                        if words[0] == "frontier")
        self.assertEqual(frontier[frontier.index("--parity") + 1],
                         os.path.join(self.out, "tile2-seed2"))
        with open(os.path.join(self.out, "fashion.json"),
                  encoding="utf-8") as file:
            self.assertEqual([row["seed"] for row in json.load(file)["rows"]],
                             [2])

    def test_what_is_missing_is_a_sentence(self):
        os.environ["PARM_DATA"] = os.path.join(self.folder, "none")
        with self.assertRaisesRegex(RuntimeError, "PARM_DATA"):
            self.run_quick()
        os.environ["PARM_DATA"] = self.folder
        os.remove(os.path.join(self.folder, "parm-train"))
        with self.assertRaisesRegex(RuntimeError, "build it first"):
            self.run_quick()

    def test_files_of_others_are_asked_for(self):
        os.environ.pop("PARM_FILES", None)
        argv = ["run.sh", "cifar10", "--out", self.out]
        with mock.patch.object(sys, "argv", argv), \
                self.assertRaisesRegex(RuntimeError, "PARM_FILES="):
            run_suite.main()

    def test_half_the_deployed_model_is_packed_untrained(self):
        unit = suites.Unit("pack", 2, half=True, kind="half")
        self.assertEqual(unit.name, "half2")
        with ProcessSet(self.out) as processes:
            runner = run_suite.Runner(SUITE, processes, "idx:x", self.out,
                                      quick=False)
            with contextlib.redirect_stdout(io.StringIO()):
                runner.train([(unit, 1)], at_once=1)
        with open(os.path.join(self.folder, "calls.txt"),
                  encoding="utf-8") as file:
            call = file.read().splitlines()[1]
        self.assertIn("--scheme pack --k 2 --half --out", call)
        self.assertNotIn("--epochs", call)

    def test_training_starts_from_the_unit_that_is_named(self):
        unit = suites.Unit("sum", 3, 10, start="sum2")
        with ProcessSet(self.out) as processes:
            runner = run_suite.Runner(SUITE, processes, "idx:x", self.out,
                                      quick=False)
            with contextlib.redirect_stdout(io.StringIO()):
                runner.train([(unit, 2)], at_once=1)
        with open(os.path.join(self.folder, "calls.txt"),
                  encoding="utf-8") as file:
            self.assertIn(f"--init {self.out}/sum2-seed2 ", file.read())

    def test_parity_network_is_the_one_that_is_named(self):
        units = (suites.Unit("sum", 2, 10), suites.Unit("sum", 3, 10, arch="cnn9"))
        with ProcessSet(self.out) as processes:
            runner = run_suite.Runner(SUITE, processes, "idx:x", self.out,
                                      quick=False)
            with contextlib.redirect_stdout(io.StringIO()):
                runner.train([(unit, 1) for unit in units], at_once=1)
        with open(os.path.join(self.folder, "calls.txt"),
                  encoding="utf-8") as file:
            calls = file.read().splitlines()
        self.assertIn(" --arch cnn ", calls[1])
        self.assertIn(" --arch cnn9 ", calls[2])

    def test_units_start_from_units_before_them(self):
        for suite in suites.SUITES.values():
            names = []
            for unit in suite.units:
                if unit.start:
                    self.assertIn(unit.start, names)
                    self.assertLessEqual(
                        set(unit.seeds),
                        set(suite.units[names.index(unit.start)].seeds))
                names.append(unit.name)
            self.assertEqual(len(set(names)), len(names))

    def test_error_of_the_trainer_ends_the_suite(self):
        with open(os.path.join(self.folder, "parm-train"), "w",
                  encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 1\n")
        with ProcessSet(self.out) as processes:
            runner = run_suite.Runner(SUITE, processes, "idx:x", self.out,
                                      quick=True)
            with contextlib.redirect_stdout(io.StringIO()), \
                    self.assertRaisesRegex(RuntimeError, "with status 1"):
                runner.train([], at_once=1)


class ResidualPicturesTest(unittest.TestCase):

    def test_both_steps_are_undone(self):
        labels = np.array([3, 250], np.uint8)
        pictures = np.random.default_rng(1).integers(
            0, 256, (2, 3, 4, 5), np.uint8)
        packed = pictures.copy()
        packed[:, 0] -= pictures[:, 1]
        packed[:, 2] -= pictures[:, 1]
        packed[:, :, 1:] -= packed[:, :, :-1].copy()
        archive = lzma.compress(b"".join(
            bytes([label]) + planes.tobytes()
            for label, planes in zip(labels, packed)))
        got, got_labels = residual_pictures.decode(archive, 4, 5)
        np.testing.assert_array_equal(got, pictures)
        np.testing.assert_array_equal(got_labels[:, 0], labels)

    def test_archives_of_another_size_are_refused(self):
        with self.assertRaisesRegex(RuntimeError, "want a multiple of 61"):
            residual_pictures.decode(lzma.compress(b"x" * 60), 4, 5)


if __name__ == "__main__":
    unittest.main()
