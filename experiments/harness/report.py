"""Table and picture of runs side by side."""

import csv
import statistics

# Of the policies, in every picture.
COLOURS = {"none": "#4C566A", "hedge": "#4C72B0", "replicate": "#8172B3",
           "backup": "#CCB974", "parm": "#DD8452", "coded": "#C44E52",
           "hybrid": "#55A868", "haproxy": "#937860"}


def median_range(values, digits=1, unit=""):
    """The median of repeats, their least and largest beside it; None is left
    out.
    """
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} .. {max(values):.{digits}f})"
    return text + unit


def _percents(shares):
    return median_range([None if share is None else 100 * share
                         for share in shares], 2, " %")


def table(runs):
    """Rows are figures, columns are policies. Of a policy's repeats counts are
    added up, all else is the median with the range.
    """
    of_policy = {}
    for run in runs:
        of_policy.setdefault(run["policy"], []).append(run)
    rows = [("", list(of_policy))]

    def add(label, text_of, figure_of):
        rows.append((label, [text_of([figure_of(run) for run in repeats])
                             for repeats in of_policy.values()]))

    def count(values):
        return str(sum(values))

    add("queries", count, lambda run: run["queries"])
    add("offered qps", median_range, lambda run: run["offered_qps"])
    add("achieved qps", median_range, lambda run: run["achieved_qps"])
    for key, label in (("p50", "p50 ms"), ("p99", "p99 ms"),
                       ("p99_9", "p99.9 ms"), ("max", "max ms")):
        add(label, median_range, lambda run, key=key: run["latency_ms"][key])
    for key, label in (("low", "p99.9 ms, 95 % from"),
                       ("high", "p99.9 ms, 95 % to")):
        add(label, median_range,
            lambda run, key=key: run["latency_ms"][f"p99_9_{key}"])
    add("reconstructed", _percents, lambda run:
        run["answers"]["reconstructed"] / max(1, run["queries"]))
    add("late originals", _percents, lambda run: run["late_share"])
    add("extra jobs per query", lambda values: median_range(values, 3),
        lambda run: run["extra_jobs_per_query"])
    for key, label in (("deployed", "accuracy, deployed model"),
                       ("exact", "accuracy, exact answers"),
                       ("reconstructed", "accuracy, reconstructed"),
                       ("delivered", "accuracy, delivered")):
        add(label, _percents, lambda run, key=key: run["accuracy"][key])
    for key, label in (("error", "errors"), ("default", "defaults"),
                       ("lost", "lost")):
        add(label, count, lambda run, key=key: run["answers"][key])
    add("frontend CPU-us per query", lambda values: median_range(values, 0),
        lambda run: run["cpu_us_per_query"])
    add("send lag p99 ms", lambda values: median_range(values, 3),
        lambda run: run["send_lag_ms"]["p99"])

    label_width = max(len(label) for label, _ in rows)
    widths = [max(len(cells[i]) for _, cells in rows)
              for i in range(len(of_policy))]
    lines = []
    for index, (label, cells) in enumerate(rows):
        lines.append(label.ljust(label_width) + "  " + "  ".join(
            cell.rjust(width) for cell, width in zip(cells, widths)))
        if index == 0:
            lines.append("-" * len(lines[0]))
    return "\n".join(lines)


def _read_cdf(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return ([float(row["quantile"]) for row in rows],
            [float(row["latency_ms"]) for row in rows])


def picture(cdf_paths, deadline_ms, title, path):
    """Share of queries slower than x, both axes logarithmic.

    `cdf_paths` maps policy to the file that parm-load wrote.
    """
    # Here: it takes a second to import.
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for policy, cdf_path in cdf_paths.items():
        quantiles, latencies = _read_cdf(cdf_path)
        shares = [1 - q for q in quantiles]
        # Nothing is slower than the maximum: its dot ends the line.
        shares[-1] = shares[-2]
        axes.step(latencies, shares, where="post", label=policy,
                  color=COLOURS.get(policy), linewidth=1.8)
        axes.plot(latencies[-1], shares[-1], "o", markersize=4,
                  color=COLOURS.get(policy))
    axes.axvline(deadline_ms, color="#999999", linestyle=":", linewidth=1)
    axes.text(deadline_ms, 1, " deadline", color="#666666", va="top",
              fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [20, 30, 50, 100, 200, 500, 1000]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks([1, 0.1, 0.01, 0.001],
                    ["all", "10 %  (p90)", "1 %  (p99)", "0.1 %  (p99.9)"])
    axes.set_xlabel("latency from the scheduled send, ms")
    axes.set_ylabel("share of queries that took longer")
    axes.set_title(title, fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
