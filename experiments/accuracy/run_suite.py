"""Runs one suite of experiments/accuracy (run.sh says how)."""

import argparse
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, ROOT)
# pylint: disable=wrong-import-position
from experiments.accuracy.report import (bundles_in, first_seeds, make_record,
                                         make_table)
from experiments.accuracy.suites import SUITES
from experiments.data.residual_pictures import convert_cifar10
from experiments.harness import driver
from experiments.harness.processes import Job, ProcessSet

QUICK = ["--limit-train", "2000", "--limit-test", "500"]
_INTERRUPTED = 130  # parm-train's exit status


class Runner:
    """parm-train on one suite's data, in one folder. Bundles appear whole, so
    what is there is done; checkpoints of the rest are gone on from.
    """

    def __init__(self, suite, processes, data, out, quick):
        folder = os.environ.get("PARM_BIN", f"{ROOT}/build/release/bin")
        self._program = os.path.join(folder, "parm-train")
        if not os.path.exists(self._program):
            raise RuntimeError(
                f"missing {self._program}: build it first (README)")
        self._suite = suite
        self._processes = processes
        self._data = ["--data", data, *(QUICK if quick else [])]
        self._threads = os.environ.get("PARM_THREADS", "1")
        self._quick = quick
        self._out = out

    def path(self, name):
        return os.path.join(self._out, name)

    def has(self, bundle):
        return bool(bundles_in(self.path(bundle)))

    def _command(self, *arguments):
        return (self._program, *arguments, *self._data,
                "--threads", self._threads)

    def _say(self, job):
        print("+", os.path.basename(job.command[0]), *job.command[1:],
              flush=True)

    def run(self, jobs, at_once=1):
        """Those whose bundle is there already are done."""
        left = [job for job in jobs if not self.has(job.name)]
        failed = self._processes.run_all(left, at_once, self._say)
        if failed is None:
            return
        job, status = failed
        if status == _INTERRUPTED:
            raise RuntimeError("interrupted: run it again to go on")
        log = f": see {self.path(job.name)}.log" if at_once > 1 else ""
        raise RuntimeError(f"parm-train ended with status {status}{log}")

    def _run(self, *arguments):
        self.run([Job("report", self._command(*arguments))])

    def _training(self, command, bundle, *more, recipe, epochs, seed, needs=()):
        recipe = os.path.join(ROOT, "experiments", "accuracy", "recipes",
                              recipe)
        return Job(bundle, self._command(
            command, "--out", self.path(bundle), "--recipe", recipe,
            "--epochs", "1" if self._quick else str(epochs),
            "--seed", str(seed), "--resume", *more), needs)

    def deployed(self):
        """The job that makes the deployed model's bundle."""
        suite = self._suite
        if suite.deployed_epochs == 0:
            return Job("deployed", self._command(
                "deployed", "--out", self.path("deployed"), "--model",
                self.published_model(), "--name", suite.dataset))
        return self._training("deployed", "deployed", "--arch", suite.arch,
                              "--name", suite.dataset,
                              recipe=suite.recipes["deployed"],
                              epochs=suite.deployed_epochs,
                              seed=suite.deployed_seed)

    def redundancy(self, unit, seed):
        """The jobs that make a unit's bundles."""
        deployed = ("--deployed", self.path("deployed"))
        code = ("--scheme", unit.scheme, "--k", str(unit.k),
                *(["--r", str(unit.r)] if unit.r > 1 else []),
                *(["--half"] if unit.half else []))
        if unit.epochs and unit.work_fraction is None:
            start = unit.started_from(seed)
            init = ["--init", self.path(start)] if start else []
            return [self._training(
                "parity", unit.bundle(seed), *deployed, *code, *init,
                "--arch", unit.arch or self._suite.arch,
                recipe=unit.recipe or self._suite.recipes["parity"],
                epochs=unit.epochs, seed=seed,
                needs=("deployed", *([start] if start else [])))]
        jobs = []
        model = []
        if unit.epochs:
            backup = unit.backup(seed)
            jobs.append(self._training(
                "backup", backup, *deployed,
                "--work-fraction", str(unit.work_fraction),
                recipe=unit.recipe or self._suite.recipes["backup"],
                epochs=unit.epochs, seed=seed, needs=("deployed",)))
            model = ["--model", os.path.join(self.path(backup), "model.pt")]
        jobs.append(Job(unit.bundle(seed), self._command(
            "parity", *deployed, *code, *model, "--out",
            self.path(unit.bundle(seed))),
                        ("deployed", *(job.name for job in jobs))))
        return jobs

    def train(self, runs, at_once):
        """Makes every bundle of these units and seeds that is not there."""
        jobs = {}
        if not self.has("deployed"):
            jobs["deployed"] = self.deployed()
        for unit, seed in runs:
            for job in self.redundancy(unit, seed):
                jobs.setdefault(job.name, job)
        self.run(jobs.values(), at_once)

    def published_model(self):
        """A TorchScript file made of the published weights."""
        path = self.path("published.pt")
        weights = os.path.join(_files_of(self._suite), "models",
                               f"{self._suite.dataset}_{self._suite.arch}"
                               ".f32.bin")
        program = os.path.join(os.path.dirname(self._program),
                               f"parm-{self._suite.arch}-weights")
        if self._processes.run("weights", [program, weights, path]) != 0:
            raise RuntimeError(f"{program} could not convert {weights}")
        return path

    def evaluate(self, bundles, at_once):
        """A report of each."""
        reports = [self.path(f"{bundle}.json") for bundle in bundles]
        self.run([Job(f"evaluate-{bundle}", self._command(
            "evaluate", "--deployed", self.path("deployed"),
            "--parity", self.path(bundle), "--json", report))
                  for bundle, report in zip(bundles, reports)], at_once)
        return [_read(report) for report in reports]

    def frontier(self, bundles):
        report = self.path("frontier.json")
        parities = [word for bundle in bundles
                    for word in ("--parity", self.path(bundle))]
        training_free = [word for k in self._suite.training_free
                         for word in ("--berrut", str(k))]
        self._run("frontier", "--deployed", self.path("deployed"), *parities,
                  *training_free, "--json", report,
                  "--picture", self.path("frontier.svg"))
        return _read(report)

    def training_free(self, k):
        report = self.path(f"berrut{k}.json")
        self._run("berrut", "--deployed", self.path("deployed"),
                  "--k", str(k), "--stragglers", "1", "--json", report)
        return _read(report)


def _read(report):
    with open(report, encoding="utf-8") as file:
        return json.load(file)


def _commit():
    result = subprocess.run(["git", "-C", ROOT, "describe", "--always",
                             "--dirty", "--abbrev=12"],
                            capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def _files_of(suite):
    folder = os.environ.get("PARM_FILES")
    wanted = os.path.join(folder or "FOLDER", suite.dataset)
    if folder is None or not os.path.isdir(wanted):
        raise RuntimeError(
            f"the suite {suite.dataset} needs files that this project does not "
            f"hold: got PARM_FILES={folder or ''}, want a FOLDER with "
            f"{suite.dataset}/ (pictures) and models/ (published weights), as "
            "experiments/data/README.md describes them")
    return folder


def _data_of(suite, out):
    data = suite.default_data
    if not data:
        converted = os.path.join(out, "data")
        if not os.path.isdir(converted):
            os.makedirs(out, exist_ok=True)
            convert_cifar10(os.path.join(_files_of(suite), suite.dataset),
                            converted)
        return f"npy:{converted}"
    if "PARM_DATA" in os.environ:
        data = "idx:" + os.environ["PARM_DATA"]
    if not os.path.isdir(data.partition(":")[2]):
        raise RuntimeError(
            f"no data at {data}: run scripts/bootstrap.sh, or name the folder "
            "of IDX files in PARM_DATA")
    return data


def _write(runner, args, suite, record):
    table = make_table(suite, record)
    with open(runner.path(f"{args.suite}.json"), "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    with open(runner.path(f"{args.suite}.md"), "w", encoding="utf-8") as file:
        file.write(table)
    shutil.copy(runner.path("frontier.svg"), runner.path(f"{args.suite}.svg"))
    if args.results:
        os.makedirs(args.results, exist_ok=True)
        for ending in ("json", "md", "svg"):
            shutil.copy(runner.path(f"{args.suite}.{ending}"), args.results)
    print(table)


def main():
    parser = argparse.ArgumentParser(prog="run.sh")
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--trained-only", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out")
    parser.add_argument("--results")
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error(f"--jobs: got {args.jobs}, want 1 or more")
    suite = SUITES[args.suite]
    name = args.suite + ("-quick" if args.quick else "")
    out = os.path.abspath(args.out or f"{ROOT}/out/accuracy/{name}")
    runs = [(unit, seed) for unit in suite.units for seed in unit.seeds
            if not args.quick or (unit.k == 2 and seed == unit.seeds[0])]
    with ProcessSet(out) as processes:
        runner = Runner(suite, processes, _data_of(suite, out), out, args.quick)
        left_out = []
        if args.trained_only:
            left_out = [unit.bundle(seed) for unit, seed in runs
                        if unit.epochs and not runner.has(unit.trained(seed))]
            runs = [(unit, seed) for unit, seed in runs
                    if unit.bundle(seed) not in left_out]
        # Every unit once before any is trained again.
        runner.train(sorted(runs, key=lambda run: run[0].seeds.index(run[1])),
                     args.jobs)
        reports = runner.evaluate([unit.bundle(seed) for unit, seed in runs],
                                  args.jobs)
        # What a unit costs, every seed of it does.
        frontier = runner.frontier([unit.bundle(seed) for unit, seed
                                    in first_seeds(runs).items()])
        training_free = [runner.training_free(k) for k in suite.training_free]
        record = make_record(suite, runs, reports, frontier, training_free,
                             left_out, out=out, commit=_commit(),
                             quick=args.quick)
        _write(runner, args, suite, record)


if __name__ == "__main__":
    driver.run("run.sh", main)
