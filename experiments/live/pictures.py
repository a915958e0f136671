"""Pictures of live runs: the tail, a timeline around what went wrong, p99.9
against load, accuracy against latency.
"""

import numpy as np

from experiments.harness.report import COLOURS

_TICKS_MS = [20, 30, 50, 100, 200, 500, 1000]


def _pyplot():
    # Here: it takes a second to import.
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    return plt


def _save(plt, figure, axes, title, path):
    axes.set_title(title, fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def tail(logs, deadline_ms, title, path):
    """Share of queries slower than x, both axes logarithmic. `logs`: policy ->
    list of QueryLog, pooled.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for policy, repeats in logs.items():
        values = np.sort(np.concatenate([log.latency_ms for log in repeats]))
        shares = 1 - np.arange(len(values)) / len(values)
        axes.step(values, shares, where="post", label=policy, linewidth=1.8,
                  color=COLOURS.get(policy))
        axes.plot(values[-1], shares[-1], "o", markersize=4,
                  color=COLOURS.get(policy))
    axes.axvline(deadline_ms, color="#999999", linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(_TICKS_MS, [str(tick) for tick in _TICKS_MS])
    axes.minorticks_off()
    axes.set_yticks([1, 0.1, 0.01, 0.001],
                    ["all", "10 %  (p90)", "1 %  (p99)", "0.1 %  (p99.9)"])
    axes.set_xlabel("latency from the scheduled send, ms")
    axes.set_ylabel("share of queries that took longer")
    _save(plt, figure, axes, title, path)


def marks_of(plan):
    """(from_s, to_s, what) of what happens at a time in a plan."""
    marks = [(each["at_s"], each["at_s"] + each["length_s"], each["what"])
             for each in plan["worker_events"]]
    marks += [(each["at_s"], each["at_s"] + each["length_s"], "pause")
              for each in plan["pauses"]]
    steps = plan["rate_steps"]
    for step, after in zip(steps, steps[1:] + [None]):
        marks.append((step["at_s"], after["at_s"] if after else np.inf,
                      f"{step['rate_qps']:.0f} queries/s"))
    return marks


def timeline(logs, marks, title, path, step_s=0.5):
    """p99 (thick) and median (thin) of the queries due in each half second.
    `logs`: policy -> QueryLog of one repeat.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    end = max(log.due_s.max() for log in logs.values())
    for policy, log in logs.items():
        numbers = np.floor(log.due_s / step_s).astype(int)
        seconds = np.unique(numbers)
        for q, width in ((50, 0.8), (99, 1.8)):
            axes.plot((seconds + 0.5) * step_s,
                      [np.percentile(log.latency_ms[numbers == second], q)
                       for second in seconds],
                      linewidth=width, color=COLOURS.get(policy),
                      label=policy if q == 99 else None)
    told = set()
    for begin, until, what in marks:
        if begin > end:
            continue
        axes.axvspan(begin, min(until, end), color="#BBBBBB", alpha=0.3,
                     linewidth=0, label=None if what in told else what)
        told.add(what)
    axes.set_yscale("log")
    axes.set_yticks(_TICKS_MS, [str(tick) for tick in _TICKS_MS])
    axes.minorticks_off()
    axes.set_xlabel("seconds since the start of the warm-up")
    axes.set_ylabel("latency, ms: p99, thin: median")
    _save(plt, figure, axes, title, path)


def against_load(points, title, path):
    """`points`: policy -> list of (load, (p99.9 ms, low, high))."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for policy, line in points.items():
        line = sorted(line, key=lambda point: point[0])
        values = [figure[0] for _, figure in line]
        bars = [[value - (low if low is not None else value)
                 for _, (value, low, _) in line],
                [(high if high is not None else value) - value
                 for _, (value, _, high) in line]]
        axes.errorbar([load for load, _ in line], values, yerr=bars,
                      marker=".", capsize=3, label=policy,
                      color=COLOURS.get(policy))
    axes.set_yscale("log")
    axes.set_yticks(_TICKS_MS, [str(tick) for tick in _TICKS_MS])
    axes.minorticks_off()
    axes.set_xlabel("load")
    axes.set_ylabel("p99.9, ms, with 95 % interval")
    _save(plt, figure, axes, title, path)


def accuracy_against_latency(points, title, path):
    """`points`: policy -> (p99.9 ms, delivered accuracy)."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for policy, (latency_ms, accuracy) in points.items():
        axes.plot(latency_ms, 100 * accuracy, "o", markersize=8, label=policy,
                  color=COLOURS.get(policy))
    axes.set_xlabel("p99.9, ms")
    axes.set_ylabel("delivered accuracy, %")
    _save(plt, figure, axes, title, path)
