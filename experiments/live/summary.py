"""The figures of a scenario: a Markdown table with a row for each policy, and
claims as intervals on paired differences.
"""

from experiments.harness.report import median_range
from experiments.live import latencies

TAIL_MULTIPLES = (2, 3, 5)
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
# MLPerf's bound on the sample for any confidence at all in a quantile.
_LEAST_QUERIES = {"p99": 459, "p99.9": 4_600, "p99.99": 46_000}


def _interval_text(figure, digits=1):
    if figure is None:
        return "-"
    value, low, high = figure
    ends = ("-" if each is None else f"{each:.{digits}f}"
            for each in (low, high))
    return "{:.{}f} ({} .. {})".format(value, digits, *ends)


def _share(runs, source):
    return [100 * run["answers"][source] / run["queries"] for run in runs]


def _percent(runs, key):
    return [None if run["accuracy"][key] is None
            else 100 * run["accuracy"][key] for run in runs]


def _logs(repeats):
    return {run["repeat"]: log for run, log in repeats}


def figures(cells, plan):
    """Policy -> figures. `cells`: policy -> list of (run, QueryLog), one for
    each repeat that was not refused.
    """
    of_policy = {}
    for policy, repeats in cells.items():
        if not repeats:
            of_policy[policy] = None
            continue
        logs = _logs(repeats)
        count = sum(len(log) for log in logs.values())
        each = {"queries": count}
        for name, q in QUANTILES.items():
            if count >= _LEAST_QUERIES.get(name, 1):
                each[f"{name}_ms"] = latencies.pooled(logs, q)
        for multiple in TAIL_MULTIPLES:
            each[f"above_{multiple}_service"] = [
                run["tail_mass"][f"over_{multiple}_service"]
                for run, _ in repeats]
        recovered = [latencies.recovery_s(log, plan) for log in logs.values()]
        if plan["rate_steps"]:
            each["recovery_s"] = recovered
        of_policy[policy] = each
    return of_policy


def claims(cells, rival):
    """[{policy, rival, quantile, difference_ms, ratio}], each figure (value,
    low, high), of repeats with the same luck.
    """
    made = []
    theirs = _logs(cells.get(rival, []))
    for policy, repeats in cells.items():
        if policy == rival or not repeats or not theirs:
            continue
        for name in ("p99", "p99.9"):
            fewest = min(sum(len(log) for log in logs.values())
                         for logs in (_logs(repeats), theirs))
            if fewest < _LEAST_QUERIES[name]:
                continue
            result = latencies.paired(_logs(repeats), theirs, QUANTILES[name])
            if result is not None:
                made.append({"policy": policy, "rival": rival,
                             "quantile": name, **result})
    return made


def claim_text(claim):
    """One sentence; a difference whose interval holds 0 is none."""
    low, high = claim["difference_ms"][1:]
    verdict = ("less" if high < 0 else "more" if low > 0
               else "no difference shown")
    return (f"{claim['quantile']} of {claim['policy']} minus "
            f"{claim['rival']}'s, same luck: "
            f"{_interval_text(claim['difference_ms'])} ms ({verdict}); ratio "
            f"{_interval_text(claim['ratio'], 2)}")


def table(cells, made):
    """`made`: what figures() gave for these cells."""
    quantiles = [name for name in QUANTILES
                 if any(each and f"{name}_ms" in each
                        for each in made.values())]
    recovery = any(each and "recovery_s" in each for each in made.values())
    heading = ["policy", *(f"{name} ms" for name in quantiles)]
    heading += [f"> {multiple} S %" for multiple in TAIL_MULTIPLES]
    heading += ["hedged %", "reconstructed %", "delivered accuracy %",
                "exact accuracy %", "extra jobs", "errors", "lost",
                "achieved qps"]
    heading += ["recovery s"] if recovery else []
    lines = ["| " + " | ".join(heading) + " |",
             "| " + " | ".join("---" for _ in heading) + " |"]
    for policy, repeats in cells.items():
        each = made[policy]
        if each is None:
            lines.append(f"| {policy} | refused |" + " |" * (len(heading) - 2))
            continue
        runs = [run for run, _ in repeats]
        row = [policy]
        row += [_interval_text(each.get(f"{name}_ms")) for name in quantiles]
        row += [median_range([None if share is None else 100 * share
                              for share in each[f"above_{multiple}_service"]],
                             2)
                for multiple in TAIL_MULTIPLES]
        row += [median_range(_share(runs, source), 2)
                for source in ("hedged", "reconstructed")]
        row += [median_range(_percent(runs, key), 2)
                for key in ("delivered", "exact")]
        row.append(median_range(
            [run["extra_jobs_per_query"] for run in runs], 3))
        row += [str(sum(run["answers"][source] for run in runs))
                for source in ("error", "lost")]
        row.append(median_range([run["achieved_qps"] for run in runs], 0))
        if recovery:
            times = each["recovery_s"]
            row.append("never" if None in times else median_range(times))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)
