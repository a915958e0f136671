"""The grid's rows as Markdown tables and a picture."""

import statistics

from experiments.harness import report
from experiments.tail import grid_claims
from experiments.tail.grid_claims import BOUNDS

_TICKS_MS = [20, 30, 50, 100, 200, 500]


def _unique(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))


def _cells(rows, scenario):
    """(policy, load) -> its rows, one per seed."""
    cells = {}
    for row in rows:
        if row["scenario"] == scenario:
            cells.setdefault((row["policy"], row["load"]), []).append(row)
    return cells


def _mean(seeds, key):
    values = [row[key] for row in seeds if row[key] is not None]
    return statistics.fmean(values) if values else None


def median_p99_9(seeds):
    return statistics.median(row["p99_9_ms"] for row in seeds)


def _text(value, digits, scale=1):
    return "-" if value is None else f"{value * scale:.{digits}f}"


def _table(header, body):
    lines = ["| " + " | ".join(header) + " |",
             "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join(lines) + "\n"


def _p99_9_table(cells, policies, loads):
    best = {load: min(median_p99_9(cells[policy, load])
                      for policy in policies
                      if policy not in BOUNDS and (policy, load) in cells)
            for load in loads}
    body = []
    for policy in policies:
        line = [policy]
        for load in loads:
            seeds = cells.get((policy, load))
            if not seeds:
                line.append("-")
                continue
            values = [row["p99_9_ms"] for row in seeds]
            middle = f"{median_p99_9(seeds):.1f}"
            if policy not in BOUNDS and median_p99_9(seeds) == best[load]:
                middle = f"**{middle}**"
            line.append(f"{middle} ({min(values):.1f}..{max(values):.1f})")
        body.append(line)
    return _table(["p99.9, ms"] + [f"load {load:g}" for load in loads], body)


def _cost_table(cells, policies, loads):
    header = ["at load", "policy", "p50 ms", "p99 ms", "> 2 S %", "> 3 S %",
              "> 5 S %", "late %", "rec. %", "unanswered %", "accuracy %",
              "jobs +", "service +", "wasted"]
    body = []
    for load in loads:
        for policy in policies:
            seeds = cells.get((policy, load))
            if not seeds:
                continue
            body.append([
                f"{load:g}", policy,
                _text(_mean(seeds, "p50_ms"), 1),
                _text(_mean(seeds, "p99_ms"), 1),
                *(_text(_mean(seeds, f"over_{multiple}_service"), 3, 100)
                  for multiple in (2, 3, 5)),
                _text(_mean(seeds, "late_share"), 2, 100),
                _text(_mean(seeds, "share_reconstructed"), 2, 100),
                _text(_mean(seeds, "share_unanswered"), 3, 100),
                _text(_mean(seeds, "delivered_accuracy"), 2, 100),
                _text(_mean(seeds, "extra_jobs_per_query"), 3),
                _text(_mean(seeds, "extra_service_per_query"), 3),
                _text(_mean(seeds, "wasted_service_per_query"), 3)])
    return _table(header, body)


def markdown(rows, note=""):
    policies = _unique(rows, "policy")
    num_seeds = len(_unique(rows, "seed"))
    parts = [
        "# Simulated grid\n\n"
        "Made by `experiments/tail/run.sh grid`. p99.9: median over "
        f"{num_seeds} seeds (least..largest), the best policy of each column "
        "in bold; the other figures are means over the seeds. `> 2 S`: share "
        "of queries that took over twice their clean service time. `service +` "
        "is all but first copies, `wasted` what no answer was made of, in clean "
        "service times per query. `oracle` and `infinite_servers` are bounds, "
        "no rivals, and accuracy is expected from measured A_a and A_d "
        f"(experiments/sim/README.md).{note}\n",
        grid_claims.markdown(rows)]
    for scenario in _unique(rows, "scenario"):
        cells = _cells(rows, scenario)
        loads = sorted({load for _, load in cells})
        parts.append(f"\n## {scenario}\n\n")
        parts.append(_p99_9_table(cells, policies, loads))
        parts.append("\n")
        parts.append(_cost_table(cells, policies, loads))
    return "".join(parts)


def picture(rows, path):
    """p99.9 against load, one panel per scenario."""
    # Here: it takes a second to import.
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    loads = sorted(_unique(rows, "load"))
    # Two points are no line.
    scenarios = [scenario for scenario in _unique(rows, "scenario")
                 if len({load for _, load in _cells(rows, scenario)}) > 2]
    scenarios = scenarios or _unique(rows, "scenario")
    columns = min(4, len(scenarios))
    lines = -(-len(scenarios) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(4 * columns, 3.4 * lines), squeeze=False,
        sharex=True, sharey=True, layout="constrained")
    for panel in panels.flat[len(scenarios):]:
        panel.set_visible(False)
    for panel, scenario in zip(panels.flat, scenarios):
        cells = _cells(rows, scenario)
        for policy in _unique(rows, "policy"):
            points = [(load, median_p99_9(cells[policy, load]))
                      for load in loads if (policy, load) in cells]
            panel.plot([x for x, _ in points], [y for _, y in points],
                       marker=".", label=policy,
                       linestyle=":" if policy in BOUNDS else "-",
                       color=("#999999" if policy in BOUNDS
                              else report.COLOURS.get(policy)))
        panel.set_title(scenario, fontsize=10)
        panel.set_yscale("log")
        panel.grid(True, alpha=0.3)
        panel.set_xlabel("load")
    for line in panels:
        line[0].set_ylabel("p99.9, ms")
        line[0].set_yticks(_TICKS_MS, [str(tick) for tick in _TICKS_MS])
        line[0].minorticks_off()
    figure.legend(*panels[0][0].get_legend_handles_labels(), ncols=9,
                  loc="outside upper center", frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
