"""What benches of hops share: the hops themselves, runs of parm-load against
candidates that take turns, figures of their repeats, records and tables.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from functools import partial

from experiments.bench import stub_bundles
from experiments.harness.frontend import Metrics, wait_until_ready
from experiments.harness.record import RunRecord
from experiments.harness.served_load import write_json

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


class SizeBench:
    """One size of query: its data, and the hops that serve it. `hops`:
    candidate -> its process, its address, where it tells metrics; None where
    there is none.
    """

    def __init__(self, args, shape, processes, folder):
        self._args = args
        self._shape = shape
        self._processes = processes
        self._folder = folder
        os.makedirs(folder, exist_ok=True)
        self._data = stub_bundles.write_data(
            os.path.join(folder, "data"), math.prod(shape))
        self.hops = {}

    def start(self, name, program, *arguments):
        """The words of its ready line."""
        self._processes.start(
            name, [os.path.join(self._args.bin, program), *arguments])
        return self._processes.wait_ready(name)

    def start_frontend(self, policy, redundancy, workers, deadline,
                       listens="--allow-grpc=false"):
        """Its process and the words of its ready line, once it serves."""
        config = write_json(
            os.path.join(self._folder, f"frontend-{policy}.yaml"), {
                "workers": workers,
                "models": [{"name": stub_bundles.MODEL, "deadline": deadline,
                            "redundancy": redundancy}]})
        name = f"frontend-{policy}"
        ready = self.start(name, "parm-frontend", "--config", config,
                           "--http-port", "0", "--metrics-port", "0",
                           *listens.split())
        wait_until_ready(ready["http"], stub_bundles.MODEL)
        return name, ready

    def load(self, candidate, protocol="http", **flags):
        """One run's entry of the record."""
        name, address, metrics = self.hops[candidate]
        run = partial(run_frontend_load, metrics) if metrics else run_load
        return run(
            self._processes, self._args.bin, self._folder,
            f"{protocol}://{address}", name and self._processes.pid(name),
            model=stub_bundles.MODEL, data=f"idx:{self._data}",
            duration=f"{self._args.seconds}s", policy=candidate, **flags)


def run_load(processes, bin_dir, folder, address, process_id=None, **flags):
    """One run's entry of the record. `process_id`: whose CPU time is taken;
    `flags`: parm-load's, with underscores.
    """
    out = os.path.join(folder, "load.json")
    command = [os.path.join(bin_dir, "parm-load"), "--url", address,
               "--warmup", "1s", "--timeout", "60s", "--out", out]
    for name, value in flags.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    if process_id is not None:
        command += ["--process", str(process_id)]
    status = processes.run("load", command, stdout=subprocess.DEVNULL)
    if status not in (0, 3):
        raise RuntimeError(f"parm-load ended with status {status}")
    with open(out, encoding="utf-8") as file:
        return json.load(file)["runs"][0]


def run_frontend_load(metrics, *args, **flags):
    """The same at a frontend, with its redundant tasks; `metrics`: where it
    tells them.
    """
    before = Metrics.scrape(metrics)
    entry = run_load(*args, **flags)
    after = Metrics.scrape(metrics)
    count = lambda what: after.total(what) - before.total(what)  # noqa: E731
    queries = count("parm_queries_total")
    entry["extra_jobs_per_query"] = max(
        0, count("parm_tasks_total") - queries) / queries
    return entry


def in_turns(bench, what, candidates, repeats, run, record):
    """Candidate -> its entries, without those that were refused: each repeat
    has all of them (A B C, B C A, ...). `run(candidate, repeat)` makes one. A
    candidate that has no entry left is left out, with a sentence.
    """
    runs = {candidate: [] for candidate in candidates}
    for repeat in range(repeats):
        turn = repeat % len(candidates)
        for candidate in candidates[turn:] + candidates[:turn]:
            entry = run(candidate, repeat)
            record.add(entry)
            if entry["refused"]:
                print(f"{bench}: {what}, {candidate}: left out: "
                      f"{entry['refused']}", file=sys.stderr)
            else:
                runs[candidate].append(entry)
    refused = [candidate for candidate in candidates if not runs[candidate]]
    if refused:
        print(f"{bench}: {what}: every run of {refused} was refused",
              file=sys.stderr)
    return {candidate: entries for candidate, entries in runs.items()
            if entries}


def text(values, digits=0):
    """Median (least .. largest)."""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} .. {max(values):.{digits}f})")


def of_same_repeat(entries, others, combine):
    """combine(entry, other) of those that ran minutes apart at most."""
    by_repeat = {other["repeat"]: other for other in others}
    return [combine(entry, by_repeat[entry["repeat"]]) for entry in entries
            if entry["repeat"] in by_repeat]


def cpu_ratio(entries, others):
    """Of the medians of CPU time, and the least and largest of the repeats'
    own: three numbers; the last two are the first where no repeat has both.
    """
    cpu = lambda entry: entry["cpu_us_per_query"]  # noqa: E731
    value = (statistics.median(map(cpu, entries)) /
             statistics.median(map(cpu, others)))
    each = of_same_repeat(entries, others,
                          lambda a, b: cpu(a) / cpu(b)) or [value]
    return value, min(each), max(each)


def table(rows):
    """A Markdown table; the first row is its heading."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def add_common_flags(parser, out, seconds=5, repeats=5):
    """`seconds` is None for a bench whose runs end by themselves."""
    if seconds is not None:
        parser.add_argument("--seconds", type=int, default=seconds)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--bin", default=os.path.join(ROOT,
                                                      "build/release/bin"))
    parser.add_argument("--out", default=os.path.join(ROOT, out))


def add_deadline_flag(parser):
    parser.add_argument("--deadline", default="500ms",
                        help="of a query at the frontends")


def arguments(description, out, sizes):
    """A parser with what every bench of hops takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", action="append", choices=list(sizes),
                        help="instead of all")
    add_common_flags(parser, out)
    return parser


def run_bench(name, args, measure, **config):
    """Has `measure(args, record)` give the rows of a table and an exit status,
    which is returned; leaves the run record OUT/NAME.json and OUT/NAME.md.
    """
    # Configurations name paths, and count relative ones from their own place.
    for path in ("out", "bin"):
        setattr(args, path, os.path.abspath(getattr(args, path)))
    os.makedirs(args.out, exist_ok=True)
    record = RunRecord(name, 1, {
        "seconds": getattr(args, "seconds", None), "repeats": args.repeats,
        **config,
        "load_average_at_start": os.getloadavg()[0]})
    try:
        rows, status = measure(args, record)
    finally:
        record.add_to_config("load_average_at_end", os.getloadavg()[0])
        record.write(os.path.join(args.out, f"{name}.json"),
                     os.path.join(args.bin, "parm-load"))
    print(table(rows))
    with open(os.path.join(args.out, f"{name}.md"), "w",
              encoding="utf-8") as file:
        file.write(table(rows) + "\n")
    return status
