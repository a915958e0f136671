"""Runs scenarios on real processes: paced workers, frontends, open-loop load
over real sockets, real answers; every policy after the other, in turns.

    parm-experiment experiments/scenarios/slow_jobs_1.yaml --policy none \\
        --policy hedge --policy coded --seconds 60 --repeats 3 --out DIR

parm-sim reads the scenario and plans it, so that live and simulated runs have
the same roles, faults and luck. Repeat i has seed S + i; candidates take turns
(A B C, B C A, ...). The candidate `haproxy` is HAProxy with retries before the
workers' HTTP ports. Writes report.md, pictures, summary.json (figures and
claims with their intervals) and record.json (the run record). After Ctrl-C what
was measured is kept and marked incomplete. Exit status: 0 done, 1 failed, 2 a
bad scenario, 3 some run could not be sent on time and is left out.
"""

import argparse
import json
import math
import os
import sys
import types

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.harness import driver  # noqa: E402
from experiments.harness import haproxy  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402
from experiments.live import host, pictures, summary  # noqa: E402
from experiments.live import plan as live_plan  # noqa: E402
from experiments.live.live_run import (  # noqa: E402
    HAPROXY, LiveRun, bundles_folder)

DEFAULT_SECONDS = 60


class LiveScenario:
    """A scenario at one load: its runs, and its part of the report."""

    def __init__(self, args, path, load):
        self._args = args
        self._path = path
        self._load = load
        self._seconds = args.seconds or DEFAULT_SECONDS
        self._paths = {}  # of bundles, by code
        self.name = os.path.splitext(os.path.basename(path))[0]
        if len(args.load) > 1:
            self.name += f"@{load:g}"
        os.makedirs(os.path.join(args.out, self.name), exist_ok=True)
        self.plan = self.plan_repeat(0)
        if args.queries is not None:
            # As long as they take to come; the plan reaches as far.
            self._seconds = math.ceil(args.queries / self.plan["rate_qps"])
            self.plan = self.plan_repeat(0)
        self.cells = {candidate["policy"]: []
                      for candidate in self.plan["candidates"]}
        self.host = []
        self.made = {}    # figures, by policy
        self.claims = []

    def plan_repeat(self, repeat):
        """Of parm-sim; `haproxy` has the roles of `none`, where it was named.
        """
        args = self._args
        policies = args.policy
        plan = live_plan.make_plan(
            args.bin, self._path, args.seed + repeat, self._seconds,
            os.path.join(args.out, self.name, f"plan{repeat}.json"),
            policies=["none" if policy == HAPROXY else policy
                      for policy in policies],
            load=self._load, workers=args.workers, trace=args.trace)
        for candidate, policy in zip(plan["candidates"], policies):
            if policy == HAPROXY:
                candidate["policy"] = HAPROXY
        return plan

    def run(self, plan, candidate, repeat):
        """One candidate, once; its entry of the run record."""
        policy = candidate["policy"]
        print(f"{self.name}: {policy}, repeat {repeat}: "
              f"{plan['rate_qps']:.0f} queries/s for {self._seconds} s",
              flush=True)
        folder = bundles_folder(self._args.out, self.name, policy, repeat)
        entry, log, watched = LiveRun(
            types.SimpleNamespace(bin=self._args.bin, data=self._args.data,
                                  seconds=self._seconds,
                                  model=demo_bundles.MODEL),
            plan, candidate, self._bundles_of(candidate),
            folder).play(self.name, repeat)
        self.host.append({"policy": policy, "repeat": repeat, **watched})
        if entry["refused"]:
            print(f"{self.name}: {policy}: left out: {entry['refused']}",
                  file=sys.stderr)
        else:
            self.cells[policy].append((entry, log))
        return entry

    def _bundles_of(self, candidate):
        """Trained once for each code. A policy without one needs no parity
        model, and the deployed model is the same beside all of them: a backup
        is made for the one beside the code `sum`.
        """
        code, backup = candidate["code"], candidate["parity_model"] == "backup"
        scheme, k = (code["scheme"], code["k"]) if code and not backup else (
            "sum", 2)
        if (scheme, k) not in self._paths:
            self._paths[scheme, k] = demo_bundles.ensure_bundles(
                self._args.bin, self._args.data, self._args.cache, {
                    "deployed": ["--arch", "mlp", "--seed", "1"],
                    "parity": ["--scheme", scheme, "--k", str(k),
                               "--seed", "1"]})
        paths = self._paths[scheme, k]
        if not backup:
            return paths
        return {**paths, "backup": demo_bundles.ensure_backup(
            self._args.bin, self._args.data, paths["deployed"],
            ["--work-fraction", "0.25", "--seed", "1"])}

    def _pictures(self, title):
        """Markdown lines of those that there is something to show in."""
        out = self._args.out
        logs = {policy: [log for _, log in repeats]
                for policy, repeats in self.cells.items() if repeats}
        if not logs:
            return []
        pictures.tail(logs, max(candidate["deadline_ms"] for candidate
                                in self.plan["candidates"]),
                      title, os.path.join(out, f"{self.name}.png"))
        lines = [f"![latency]({self.name}.png)", ""]
        marks = pictures.marks_of(self.plan)
        first = {policy: log for policy, repeats in self.cells.items()
                 for run, log in repeats if run["repeat"] == 0}
        if marks and first:
            name = f"{self.name}-timeline.png"
            pictures.timeline(first, marks, title, os.path.join(out, name))
            lines += [f"![timeline]({name})", ""]
        points = {
            policy: (self.made[policy]["p99.9_ms"][0],
                     repeats[0][0]["accuracy"]["delivered"])
            for policy, repeats in self.cells.items()
            if repeats and "p99.9_ms" in self.made[policy] and
            repeats[0][0]["accuracy"]["delivered"] is not None}
        if points:
            name = f"{self.name}-accuracy.png"
            pictures.accuracy_against_latency(points, title,
                                              os.path.join(out, name))
            lines += [f"![accuracy]({name})", ""]
        return lines

    def evaluate(self):
        self.made = summary.figures(self.cells, self.plan)
        self.claims = summary.claims(self.cells, self._args.rival)

    def write_report(self):
        """Its part of the Markdown report; the pictures beside."""
        clean_ms = self.plan["pace"]["service_us"] / 1000
        title = (f"{self.name}: {len(self.plan['workers'])} workers, load "
                 f"{self.plan['load']:g}, paced service {clean_ms:g} ms")
        lines = [f"## {title}", "", summary.table(self.cells, self.made), ""]
        lines += [f"- {summary.claim_text(claim)}" for claim in self.claims]
        lines += ["", host.sentence(self.host), ""]
        lines += self._pictures(title)
        return "\n".join(lines)


def run_all(args, scenarios, record):
    """Scenarios in order; within each, repeats of all candidates in turns."""
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
    return refused


def against_load(args, scenarios):
    """p99.9 against load, a picture for each scenario that has several."""
    lines = []
    for path in args.scenario:
        stem = os.path.splitext(os.path.basename(path))[0]
        points = {}
        for scenario in scenarios:
            if scenario.name.partition("@")[0] != stem:
                continue
            for policy, each in scenario.made.items():
                if each and "p99.9_ms" in each:
                    points.setdefault(policy, []).append(
                        (scenario.plan["load"], each["p99.9_ms"]))
        if points:
            name = f"{stem}-loads.png"
            pictures.against_load(points, stem, os.path.join(args.out, name))
            lines += [f"## {stem}: p99.9 against load", "",
                      f"![loads]({name})", ""]
    return lines


def write_report(args, scenarios, incomplete):
    """report.md and summary.json of what there is."""
    played = [scenario for scenario in scenarios if scenario.host]
    lines = ["# Live runs", ""]
    if incomplete:
        lines += [f"**Incomplete**: {incomplete}. What follows was measured "
                  "before.", ""]
    lines += ["Intervals are 95 %, by block bootstrap over the seconds of all "
              "repeats. Service times are paced, answers are computed.", ""]
    for scenario in played:
        scenario.evaluate()
        lines.append(scenario.write_report())
    if len(args.load) > 1:
        lines += against_load(args, played)
    with open(os.path.join(args.out, "report.md"), "w",
              encoding="utf-8") as file:
        file.write("\n".join(lines))
    with open(os.path.join(args.out, "summary.json"), "w",
              encoding="utf-8") as file:
        json.dump({"incomplete": incomplete, "scenarios": [
            {"scenario": scenario.name, "load": scenario.plan["load"],
             "workers": len(scenario.plan["workers"]),
             "figures": scenario.made, "claims": scenario.claims,
             "host": scenario.host} for scenario in played]}, file, indent=2)
        file.write("\n")
    print("\n".join(lines))


def parse_args():
    parser = argparse.ArgumentParser(
        prog="parm-experiment", description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenario", nargs="+", help="scenario files")
    parser.add_argument("--policy", action="append", default=[],
                        help="instead of the scenario's; several; a name, the\n"
                        "path of a frontend.yaml, or haproxy")
    parser.add_argument("--rival", default="hedge",
                        help="whom the others are compared with")
    parser.add_argument("--load", type=float, action="append", default=[],
                        help="instead of the scenario's; several")
    parser.add_argument("--workers", "--servers", type=int,
                        help="instead of the scenario's")
    parser.add_argument("--trace")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=int, metavar="S",
                        help="measured part of each run (default: "
                        f"{DEFAULT_SECONDS})")
    length.add_argument("--queries", type=int, metavar="N",
                        help="the same, as the time in which so many come")
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
    if args.queries is not None and args.queries < 1:
        parser.error("--queries wants 1 at least")
    for name in ("out", "bin", "cache"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    if HAPROXY in args.policy and haproxy.program() is None:
        parser.error("haproxy is not installed: apt-get install haproxy, or "
                     "name the program in PARM_HAPROXY")
    return args


def main():
    args = parse_args()
    os.makedirs(args.out, exist_ok=True)
    try:
        scenarios = [LiveScenario(args, path, load) for path in args.scenario
                     for load in args.load or [None]]
    except live_plan.BadScenario as error:
        print(f"parm-experiment: {error}", file=sys.stderr)
        return 2
    record = RunRecord("live", args.seed, {
        name: getattr(args, name)
        for name in ("policy", "load", "workers", "seconds", "queries",
                     "repeats", "trace")} | {
        "scenario": [os.path.basename(path) for path in args.scenario]})
    incomplete = "an error ended it"
    try:
        refused = run_all(args, scenarios, record)
        incomplete = None
    except driver.Interrupted as interruption:
        incomplete = str(interruption)
        raise
    finally:
        # What was measured is kept, whatever came after.
        record.add_to_config("incomplete", incomplete)
        record.add_to_config("host", [
            {"scenario": scenario.name, **each}
            for scenario in scenarios for each in scenario.host])
        record.write(os.path.join(args.out, "record.json"),
                     os.path.join(args.bin, "parm-load"))
        write_report(args, scenarios, incomplete)
    return 3 if refused else 0


if __name__ == "__main__":
    driver.run("parm-experiment", main)
