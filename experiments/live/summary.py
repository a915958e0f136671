"""The Markdown table of a scenario: a row for each policy."""

import statistics

TAIL_MULTIPLES = (2, 3, 5)


def _median_range(values, digits=1):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} .. {max(values):.{digits}f})"
    return text


def _quantile_text(distributions, q):
    """Of several repeats the median and the range, of one its interval."""
    if len(distributions) > 1:
        return _median_range([each.at(q) for each in distributions])
    value, low, high = distributions[0].interval(q)
    return "{:.1f} ({} .. {})".format(
        value, *("-" if each is None else f"{each:.1f}"
                 for each in (low, high)))


def _share(runs, source):
    return [100 * run["answers"][source] / run["queries"] for run in runs]


def _percent(runs, key):
    return [None if run["accuracy"][key] is None
            else 100 * run["accuracy"][key] for run in runs]


def table(cells, clean_service_ms):
    """`cells`: policy -> list of (run, Distribution), one for each repeat that
    was not refused.
    """
    heading = ["policy", "p50 ms", "p99 ms", "p99.9 ms"]
    heading += [f"> {multiple} S %" for multiple in TAIL_MULTIPLES]
    heading += ["hedged %", "reconstructed %", "delivered accuracy %",
                "exact accuracy %", "extra jobs", "lost", "achieved qps"]
    lines = ["| " + " | ".join(heading) + " |",
             "| " + " | ".join("---" for _ in heading) + " |"]
    for policy, repeats in cells.items():
        if not repeats:
            lines.append(f"| {policy} | refused |" + " |" * (len(heading) - 2))
            continue
        runs = [run for run, _ in repeats]
        distributions = [each for _, each in repeats]
        row = [policy]
        row += [_quantile_text(distributions, q) for q in (0.5, 0.99, 0.999)]
        row += [_median_range([100 * each.share_above(
            multiple * clean_service_ms) for each in distributions], 2)
            for multiple in TAIL_MULTIPLES]
        row += [_median_range(_share(runs, source), 2)
                for source in ("hedged", "reconstructed")]
        row += [_median_range(_percent(runs, key), 2)
                for key in ("delivered", "exact")]
        row.append(_median_range(
            [run["extra_jobs_per_query"] for run in runs], 3))
        row.append(str(sum(run["answers"]["lost"] for run in runs)))
        row.append(_median_range([run["achieved_qps"] for run in runs], 0))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def versus(cells, rival, quantile):
    """Policy -> quantile over the rival's, of repeats with the same luck:
    (median, least, largest).
    """
    ratios = {}
    rivals = {run["repeat"]: each for run, each in cells.get(rival, [])}
    for policy, repeats in cells.items():
        paired = [each.at(quantile) / rivals[run["repeat"]].at(quantile)
                  for run, each in repeats if run["repeat"] in rivals]
        if policy != rival and paired:
            ratios[policy] = (statistics.median(paired), min(paired),
                              max(paired))
    return ratios
