"""What benches of hops share: runs of parm-load against candidates that take
turns, and figures of their repeats.
"""

import json
import os
import statistics
import subprocess
import sys

from experiments.harness.frontend import Metrics


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
