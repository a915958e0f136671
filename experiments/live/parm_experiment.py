"""Runs scenarios on real processes: paced workers, one frontend, open-loop load
over real sockets, real answers; every policy after the other, in turns.

    run_scenario.py experiments/scenarios/slow_jobs_1.yaml --policy none \\
        --policy hedge --policy coded --seconds 60 --repeats 3 --out DIR

parm-sim reads the scenario and plans it, so that live and simulated runs have
the same roles, faults and luck. Repeat i has seed S + i; candidates take turns
(A B C, B C A, ...). Writes a run record, a Markdown report and a picture for
each scenario. Exit status: 0 done, 1 failed, 2 a bad scenario, 3 some run could
not be sent on time and is left out.
"""

import argparse
import os
import signal
import sys
import time

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.harness import driver  # noqa: E402
from experiments.harness import report  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402
from experiments.harness.served_load import ServedLoad  # noqa: E402
from experiments.live import plan as live_plan  # noqa: E402
from experiments.live import summary  # noqa: E402
from experiments.live.latencies import Distribution  # noqa: E402

MODEL = demo_bundles.MODEL
# Torch takes most of a second of a core to load.
_STARTUP_S = 5
_STARTUP_PER_WORKER_S = 0.7


class LiveScenario:
    def __init__(self, args, path):
        self._args = args
        self._path = path
        self._paths = {}  # of bundles, by code
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.folder = os.path.join(args.out, self.name)
        os.makedirs(self.folder, exist_ok=True)
        self.plan = self.plan_repeat(0)
        self.cells = {candidate["policy"]: []
                      for candidate in self.plan["candidates"]}

    def plan_repeat(self, repeat):
        args = self._args
        return live_plan.make_plan(
            args.bin, self._path, args.seed + repeat, args.seconds,
            os.path.join(self.folder, f"plan{repeat}.json"),
            policies=args.policy, load=args.load, workers=args.workers,
            trace=args.trace)

    def run(self, plan, candidate, repeat):
        """One candidate, once; its run record."""
        policy = candidate["policy"]
        paths = self._bundles_of(candidate["code"])
        folder = os.path.join(self.folder, f"{policy}-{repeat}")
        print(f"{self.name}: {policy}, repeat {repeat}: "
              f"{plan['rate_qps']:.0f} queries/s for {self._args.seconds} s",
              flush=True)
        with ProcessSet(folder) as processes:
            served = ServedLoad(processes, self._args.bin, folder)
            try:
                record = self._run_with(processes, served, plan, candidate,
                                        paths, repeat)
            finally:
                # SIGTERM does not reach a process that stands still.
                for index in range(len(plan["workers"])):
                    processes.signal(f"w{index}", signal.SIGCONT)
        entry = record["runs"][0]
        cdf = os.path.join(folder, "cdf.csv")
        if entry["refused"]:
            print(f"{self.name}: {policy}: left out: {entry['refused']}",
                  file=sys.stderr)
        else:
            self.cells[policy].append(
                (entry, Distribution.read(cdf, entry["queries"])))
        return entry

    def _bundles_of(self, code):
        """Trained once for each code. A policy without one needs no parity
        model, and the deployed model is the same beside all of them.
        """
        scheme, k = (code["scheme"], code["k"]) if code else ("sum", 2)
        if (scheme, k) not in self._paths:
            self._paths[scheme, k] = demo_bundles.ensure_bundles(
                self._args.bin, self._args.data, self._args.cache, {
                    "deployed": ["--arch", "mlp", "--seed", "1"],
                    "parity": ["--scheme", scheme, "--k", str(k),
                               "--seed", "1"]})
        return self._paths[scheme, k]

    def _run_with(self, processes, served, plan, candidate, paths, repeat):
        num_workers = len(plan["workers"])
        # The scenario's times count from the start of the warm-up.
        epoch = time.time() + _STARTUP_S + _STARTUP_PER_WORKER_S * num_workers
        endpoints = served.start_workers([
            live_plan.worker_config(plan, candidate, index, paths,
                                    round(epoch * 1000))
            for index in range(num_workers)])
        with open(candidate["file"], encoding="utf-8") as file:
            config = live_plan.frontend_config(
                yaml.safe_load(file), endpoints, MODEL)
        http = served.start_frontend(config)
        wait_s = epoch - served.LOAD_STARTUP_S - time.time()
        if wait_s < 0:
            raise RuntimeError(
                f"{num_workers} workers took {-wait_s:.0f} s too long to "
                f"start: want a machine that is less busy")
        time.sleep(wait_s)
        served.start_load(http, self._args.seconds, plan["warmup_s"],
                          self._load_arguments(plan, candidate, paths, repeat))
        for at_s, number, workers in pause_events(plan["pauses"]):
            served.sleep_until(served.LOAD_STARTUP_S + at_s)
            for index in workers:
                processes.signal(f"w{index}", number)
        return served.finish()

    def _load_arguments(self, plan, candidate, paths, repeat):
        arguments = [
            "--model", MODEL, "--data", self._args.data,
            "--reference-logits", paths["logits"],
            "--rate", str(plan["rate_qps"]),
            "--deadline", f"{candidate['deadline_ms']}ms",
            "--seed", str(plan["seed"]), "--repeat", str(repeat),
            "--name", "live", "--policy", candidate["policy"],
            "--scenario", self.name, "--load", str(plan["load"]),
            "--workers", str(len(plan["workers"])),
        ]
        if candidate["code"]:
            code = candidate["code"]
            arguments += ["--code", f"{code['scheme']}:{code['k']}:{code['r']}"]
        return arguments

    def write_report(self):
        """Its part of the Markdown report; the picture beside."""
        clean_ms = self.plan["pace"]["service_us"] / 1000
        title = (f"{self.name}: {len(self.plan['workers'])} workers, load "
                 f"{self.plan['load']:g}, paced service {clean_ms:g} ms")
        cdfs = {policy: os.path.join(self.folder, f"{policy}-0", "cdf.csv")
                for policy, repeats in self.cells.items()
                if any(run["repeat"] == 0 for run, _ in repeats)}
        picture = f"{self.name}.png"
        if cdfs:
            report.picture(
                cdfs, max(candidate["deadline_ms"]
                          for candidate in self.plan["candidates"]),
                title, os.path.join(self._args.out, picture))
        lines = [f"## {title}", "", summary.table(self.cells, clean_ms), ""]
        for quantile, label in ((0.99, "p99"), (0.999, "p99.9")):
            for policy, (middle, least, most) in summary.versus(
                    self.cells, self._args.rival, quantile).items():
                lines.append(
                    f"- {label} of {policy} over {self._args.rival}'s, same "
                    f"luck: {middle:.2f} ({least:.2f} .. {most:.2f})")
        lines += ["", f"![latency]({picture})", ""]
        return "\n".join(lines)


def pause_events(pauses):
    """(seconds, signal, workers) in order of time."""
    events = []
    for pause in pauses:
        events.append((pause["at_s"], signal.SIGSTOP, pause["workers"]))
        events.append((pause["at_s"] + pause["length_s"], signal.SIGCONT,
                       pause["workers"]))
    return sorted(events, key=lambda event: event[0])


def run_all(args, record):
    """Scenarios in order; within each, repeats of all candidates in turns."""
    scenarios = [LiveScenario(args, path) for path in args.scenario]
    refused = False
    for scenario in scenarios:
        for repeat in range(args.repeats):
            plan = scenario.plan_repeat(repeat)
            candidates = plan["candidates"]
            turn = repeat % len(candidates)
            for candidate in candidates[turn:] + candidates[:turn]:
                entry = scenario.run(plan, candidate, repeat)
                record.add(entry)
                refused |= bool(entry["refused"])
    return scenarios, refused


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenario", nargs="+", help="scenario files")
    parser.add_argument("--policy", action="append", default=[],
                        help="instead of the scenario's; several")
    parser.add_argument("--rival", default="hedge",
                        help="whom the others are compared with")
    parser.add_argument("--load", type=float)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--trace")
    parser.add_argument("--seconds", type=int, default=60,
                        help="measured part of each run")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default=os.path.join(ROOT, "build/live"))
    parser.add_argument("--bin", default=os.path.join(ROOT,
                                                      "build/release/bin"))
    parser.add_argument("--cache", default=os.path.join(ROOT,
                                                        "build/demo/bundles"))
    parser.add_argument("--data",
                        default="idx:/usr/share/datasets/fashion-mnist")
    args = parser.parse_args()
    for name in ("out", "bin", "cache"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    return args


def main():
    args = parse_args()
    os.makedirs(args.out, exist_ok=True)
    record = RunRecord("live", args.seed, {
        name: getattr(args, name)
        for name in ("policy", "load", "workers", "seconds", "repeats",
                     "trace")} | {
        "scenario": [os.path.basename(path) for path in args.scenario]})
    try:
        scenarios, refused = run_all(args, record)
    except live_plan.BadScenario as error:
        print(f"run_scenario: {error}", file=sys.stderr)
        return 2
    finally:
        # What was measured is kept, whatever came after.
        record.write(os.path.join(args.out, "record.json"),
                     os.path.join(args.bin, "parm-load"))
    text = "\n".join(scenario.write_report() for scenario in scenarios)
    with open(os.path.join(args.out, "report.md"), "w",
              encoding="utf-8") as file:
        file.write(text)
    print(f"\n{text}\nreport      {args.out}/report.md\n"
          f"run record  {args.out}/record.json")
    return 3 if refused else 0


if __name__ == "__main__":
    driver.run("run_scenario", main)
