"""One report over the cells that parm-experiment measured, each in a folder."""

import json
import os
import statistics
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# Goals of the validation of the simulator.
_P50_GOAL = 0.05
_P99_9_GOAL = 0.15
# Goal of the width of the interval of p99.9.
_WIDTH_GOAL = 0.15


def read_cells(folder):
    """Cell -> {"summary", "record"} of the subfolders that hold both, those
    of one scenario and load only.
    """
    cells = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        documents = {}
        for document in ("summary", "record"):
            path = os.path.join(folder, name, document + ".json")
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    documents[document] = json.load(file)
        if len(documents) == 2 and len(documents["summary"]["scenarios"]) == 1:
            cells[name] = documents
    return cells


def simulate(bin_dir, cells, queries=50_000):
    """Cell -> policy -> {"p50_ms", "p99_9_ms"}, medians over the repeats'
    seeds. Arrivals are other draws of the same law.
    """
    simulated = {}
    for name, cell in cells.items():
        measured = cell["summary"]["scenarios"][0]
        config = cell["record"]["config"]
        runs = {}
        for repeat in range(config["repeats"]):
            for run in _simulate_once(
                    bin_dir, measured, config["scenario"][0],
                    cell["record"]["seed"] + repeat, queries):
                runs.setdefault(run["policy"], []).append(run["latency_ms"])
        simulated[name] = {
            policy: {key + "_ms": statistics.median(
                latency[key] for latency in latencies)
                for key in ("p50", "p99_9")}
            for policy, latencies in runs.items()}
    return simulated


def _simulate_once(bin_dir, measured, scenario, seed, queries):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "record.json")
        command = [os.path.join(bin_dir, "parm-sim"),
                   os.path.join(ROOT, "experiments", "scenarios", scenario),
                   "--load", str(measured["load"]),
                   "--servers", str(measured["workers"]),
                   "--seed", str(seed), "--queries", str(queries),
                   "--out", out]
        for policy in measured["figures"]:
            # HAProxy is simulated by nobody.
            if policy != "haproxy":
                command += ["--policy", policy]
        result = subprocess.run(command, capture_output=True, text=True,
                                check=False)
        if result.returncode != 0:
            raise RuntimeError(result.stderr.strip())
        with open(out, encoding="utf-8") as file:
            return json.load(file)["runs"]


def _number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def _interval(figure, digits=1):
    if figure is None:
        return "-"
    return "{} ({} .. {})".format(*(_number(each, digits) for each in figure))


def _width(figure):
    """Of an interval, over its value; None if it has no ends."""
    value, low, high = figure
    return None if low is None or high is None else (high - low) / value


def _percent(values, digits=2):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    return f"{100 * statistics.median(values):.{digits}f}"


def _table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _row(cell, policy, figures, runs, ratio):
    return [cell, policy, _interval(figures["p50_ms"]),
            _interval(figures.get("p99_ms")),
            _interval(figures.get("p99.9_ms")), _interval(ratio, 2),
            *(_percent(figures[f"above_{multiple}_service"])
              for multiple in (2, 3, 5)),
            _percent([run["answers"]["reconstructed"] / run["queries"]
                      for run in runs]),
            _percent([run["accuracy"]["delivered"] for run in runs]),
            _percent([run["accuracy"]["exact"] for run in runs]),
            _number(statistics.median(run["extra_jobs_per_query"]
                                      for run in runs), 3),
            str(sum(run["answers"]["lost"] for run in runs))]


def _measured(cells):
    """Rows of the table, and the p99.9 intervals that are too wide."""
    rows, wide = [], []
    for name, cell in cells.items():
        measured = cell["summary"]["scenarios"][0]
        ratios = {claim["policy"]: claim["ratio"]
                  for claim in measured["claims"]
                  if claim["quantile"] == "p99.9"}
        for policy, figures in measured["figures"].items():
            if figures is None:
                rows.append([name, policy, "refused"] + ["-"] * 11)
                continue
            runs = [run for run in cell["record"]["runs"]
                    if run["policy"] == policy and not run["refused"]]
            rows.append(_row(name, policy, figures, runs, ratios.get(policy)))
            p99_9 = figures.get("p99.9_ms")
            width = _width(p99_9) if p99_9 else None
            if width is None or width > _WIDTH_GOAL:
                wide.append(f"{name} {policy} "
                            f"{_number(width and 100 * width, 0)} %")
    return rows, wide


def _validation(cells, simulated):
    """Rows, and how many of the cells' figures agree: (p50, p99.9, of)."""
    rows, good_p50, good_p99_9 = [], 0, 0
    for name, cell in cells.items():
        figures = cell["summary"]["scenarios"][0]["figures"]
        for policy, model in simulated[name].items():
            live = figures[policy]
            if live is None or "p99.9_ms" not in live:
                continue
            off = [model["p50_ms"] / live["p50_ms"][0] - 1,
                   model["p99_9_ms"] / live["p99.9_ms"][0] - 1]
            good_p50 += abs(off[0]) <= _P50_GOAL
            good_p99_9 += abs(off[1]) <= _P99_9_GOAL
            rows.append([name, policy, _number(live["p50_ms"][0]),
                         _number(model["p50_ms"]), f"{100 * off[0]:+.0f} %",
                         _interval(live["p99.9_ms"]),
                         _number(model["p99_9_ms"]), f"{100 * off[1]:+.0f} %"])
    return rows, good_p50, good_p99_9


def _commits(cells):
    """"Commit X", or which cells are of which commit."""
    of_commit = {}
    for name, cell in cells.items():
        of_commit.setdefault(cell["record"]["commit"], []).append(name)
    if len(of_commit) == 1:
        return f"Commit {next(iter(of_commit))}"
    return "Commits " + "; ".join(
        f"{commit} ({', '.join(names)})" for commit, names in of_commit.items())


def _left_out(cells):
    """The runs that were not sent on time."""
    return [f"{name} {run['policy']}, repeat {run['repeat']}: {run['refused']}"
            for name, cell in cells.items()
            for run in cell["record"]["runs"] if run["refused"]]


def markdown(cells, simulated=None):
    first = next(iter(cells.values()))
    config = first["record"]["config"]
    lines = ["# Live cells", "",
             "Made by `experiments/tail/run.sh full` (this page by "
             "`--report-only`): "
             f"{first['summary']['scenarios'][0]['workers']} paced workers, "
             f"{config['repeats']} repeats of {config['seconds']} s, the same "
             "luck for all policies; real models and answers. "
             f"{_commits(cells)}, {first['record']['machine']}. "
             "Intervals are 95 %, by block bootstrap over seconds; *over "
             "hedge*: ratio of p99.9, same seconds. `> 2 S`: share of queries "
             "over two clean service times. Each cell's own report and "
             "pictures lie in its folder.", ""]
    for name, cell in cells.items():
        if cell["summary"]["incomplete"]:
            lines += [f"**{name} is incomplete**: "
                      f"{cell['summary']['incomplete']}.", ""]
    rows, wide = _measured(cells)
    lines += _table(["cell", "policy", "p50 ms", "p99 ms", "p99.9 ms",
                     "over hedge", "> 2 S %", "> 3 S %", "> 5 S %",
                     "reconstructed %", "delivered %", "exact %",
                     "extra jobs", "lost"], rows)
    lines += ["", f"Intervals of p99.9 wider than {100 * _WIDTH_GOAL:.0f} % of "
              f"it: {'; '.join(wide) if wide else 'none'}.", ""]
    left_out = _left_out(cells)
    lines += [f"Runs left out: {'; '.join(left_out) if left_out else 'none'}.",
              ""]
    if simulated is not None:
        rows, good_p50, good_p99_9 = _validation(cells, simulated)
        lines += ["## Simulated against live", "",
                  "`parm-sim` with the same scenario, load, number of workers "
                  "and seeds (fault draws), but queries of other arrivals; "
                  "median of the seeds.", ""]
        lines += _table(["cell", "policy", "p50 live", "simulated", "off",
                         "p99.9 live", "simulated", "off"], rows)
        lines += ["", f"p50 agrees within {100 * _P50_GOAL:.0f} % in {good_p50} "
                  f"of {len(rows)}, p99.9 within {100 * _P99_9_GOAL:.0f} % in "
                  f"{good_p99_9}.", ""]
    return "\n".join(lines)
