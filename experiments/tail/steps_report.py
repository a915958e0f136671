"""Figures and Markdown of the steps, pulses and silences that steps.py ran."""

from experiments.tail.grid_claims import PRODUCTS, mean_interval
from experiments.tail.windows import bootstrap_ratio

# When what the scenarios describe happens.
_STEP_S = 10
_PULSE_END_S = 12
_SILENT_S = 6
_END_S = 22
# The new state, and the windows on the way there, after a step.
_SETTLED = (5, 12)
_WINDOWS = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), _SETTLED]
_WITHIN = 1.10


def _settled_from(ratios):
    """The seconds after which the ratio stays within the goal; None: never."""
    settled = None
    for (begin, _), ratio in reversed(list(zip(_WINDOWS, ratios))):
        if ratio[0] > _WITHIN:
            break
        settled = begin
    return settled


def evaluate_step(logs):
    """p99.9 of windows after a step against the best static policy's."""
    settled = (_STEP_S + _SETTLED[0], _STEP_S + _SETTLED[1])
    statics = [policy for policy in logs if policy not in PRODUCTS]
    best = min(statics, key=lambda policy: logs[policy].at(0.999, *settled))
    made = {"best_static": best, "windows_s": _WINDOWS, "policies": {}}
    for policy, pooled in logs.items():
        spans = [(_STEP_S + begin, _STEP_S + end) for begin, end in _WINDOWS]
        each = {"before_p99_9_ms": pooled.at(0.999, 4, _STEP_S),
                "p99_9_ms": [pooled.at(0.999, *span) for span in spans]}
        if policy in PRODUCTS:
            each["ratio"] = [
                bootstrap_ratio(pooled.latencies(*span),
                                logs[best].latencies(*span), 0.999)
                for span in spans]
            each["within_10_percent_from_s"] = _settled_from(each["ratio"])
        made["policies"][policy] = each
    return made


def _seconds_until_baseline(pooled, q, window_s=0.5):
    """From the pulse's end until a window is within 10 % of before, and the
    next one too.
    """
    limit = _WITHIN * pooled.at(q, 4, _STEP_S)
    steps = int((_END_S - _PULSE_END_S) / window_s)
    good = [pooled.at(q, _PULSE_END_S + i * window_s,
                      _PULSE_END_S + (i + 1) * window_s) <= limit
            for i in range(steps)]
    for i in range(steps - 1):
        if good[i] and good[i + 1]:
            return i * window_s
    return None


def evaluate_pulse(logs):
    """Goodput from the pulse's begin until 5 s after it, against none's."""
    span = (_STEP_S, _PULSE_END_S + 5)
    none = logs["none"].goodput(*span)
    made = {"window_s": span, "policies": {}}
    for policy, pooled in logs.items():
        goodput = pooled.goodput(*span)
        made["policies"][policy] = {
            "goodput_qps": float(goodput.mean()) / (span[1] - span[0]),
            "over_none": mean_interval(list(goodput / none)),
            "median_back_after_s": _seconds_until_baseline(pooled, 0.5),
            "p99_back_after_s": _seconds_until_baseline(pooled, 0.99)}
    return made


def evaluate_silence(logs):
    """Latencies while a worker is silent, five seconds at a time."""
    windows = [(begin, begin + 5) for begin in range(_SILENT_S, 36, 5)]
    made = {"windows_s": windows, "policies": {}}
    for policy, pooled in logs.items():
        each = {
            "before_p99_9_ms": pooled.at(0.999, 2, _SILENT_S),
            "p99_9_ms": [pooled.at(0.999, *span) for span in windows],
            "hedged_median_ms": [pooled.at(0.5, *span, outcome="hed")
                                 for span in windows],
            "unanswered": [
                sum(len(seed) for seed in pooled.latencies(*span)) -
                int(pooled.goodput(*span).sum()) for span in windows]}
        # Not the first window: the silence itself is noticed there.
        each["last_over_second"] = bootstrap_ratio(
            pooled.latencies(*windows[-1]), pooled.latencies(*windows[1]),
            0.999)
        made["policies"][policy] = each
    return made


EVALUATE = {"load_step": evaluate_step, "straggler_step": evaluate_step,
            "overload_pulse": evaluate_pulse,
            "silent_worker": evaluate_silence}


def _number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def _ratio(figure, digits=2):
    return "{} ({} .. {})".format(*(_number(each, digits) for each in figure))


def _table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _span(window):
    return f"{window[0]:g}..{window[1]:g} s"


def _step_lines(case):
    heading = ["p99.9, ms", "before",
               *(_span(window) for window in case["windows_s"])]
    rows = [[policy, _number(each["before_p99_9_ms"]),
             *(_number(value) for value in each["p99_9_ms"])]
            for policy, each in case["policies"].items()]
    lines = _table(heading, rows) + [""]
    for policy, each in case["policies"].items():
        if "ratio" not in each:
            continue
        since = each["within_10_percent_from_s"]
        verdict = ("never stays within 10 %: missed" if since is None else
                   f"within 10 % from second {since} after the step on: "
                   f"{'reached' if since <= 5 else 'missed'}")
        ratios = "; ".join(
            f"{_span(window)} {_ratio(ratio)}"
            for window, ratio in zip(case["windows_s"], each["ratio"]))
        lines.append(f"- `{policy}` over `{case['best_static']}`, the best "
                     f"static policy of {_span(case['windows_s'][-1])}: "
                     f"{verdict}. Ratios: {ratios}.")
    return lines


def _pulse_lines(case):
    heading = ["policy", "goodput, queries/s", "over `none`",
               "median back after", "p99 back after"]
    rows = [[policy, _number(each["goodput_qps"], 0),
             _ratio(each["over_none"], 4),
             _number(each["median_back_after_s"]) + " s",
             _number(each["p99_back_after_s"]) + " s"]
            for policy, each in case["policies"].items()]
    lines = _table(heading, rows) + [""]
    for policy in PRODUCTS:
        each = case["policies"].get(policy)
        if each is None:
            continue
        mean, low, _ = each["over_none"]
        verdict = ("reached" if low >= 0.99 else "missed" if mean < 0.99
                   else "not shown")
        back = [each["median_back_after_s"], each["p99_back_after_s"]]
        recovered = all(value is not None and value <= 5 for value in back)
        lines.append(f"- `{policy}`: goodput at least 0.99 of `none`: "
                     f"{verdict}; back within 5 s: "
                     f"{'reached' if recovered else 'missed'}.")
    return lines


def _silence_lines(case):
    windows = [_span(window) for window in case["windows_s"]]
    lines = _table(
        ["p99.9, ms", "before", *windows, "last over second"],
        [[policy, _number(each["before_p99_9_ms"]),
          *(_number(value) for value in each["p99_9_ms"]),
          _ratio(each["last_over_second"])]
         for policy, each in case["policies"].items()])
    lines += [""] + _table(
        ["median of hedged answers, ms", *windows],
        [[policy, *(_number(value) for value in each["hedged_median_ms"])]
         for policy, each in case["policies"].items()
         if any(value is not None for value in each["hedged_median_ms"])])
    lines += [""] + _table(
        ["unanswered", *windows],
        [[policy, *(str(value) for value in each["unanswered"])]
         for policy, each in case["policies"].items()
         if any(each["unanswered"])])
    lines.append("")
    for policy in ("hedge", *PRODUCTS):
        if policy not in case["policies"]:
            continue
        ratio = case["policies"][policy]["last_over_second"]
        lines.append(f"- `{policy}`: p99.9 of the last five seconds over that "
                     f"of the second five, {_ratio(ratio)}: "
                     f"{'no ratchet' if ratio[1] <= 1.05 else 'it rises'}.")
    return lines


_TEXTS = {
    "load_step": ("Load 0.3, from 10 s on 0.8; 1 % slow jobs", _step_lines),
    "straggler_step": ("1 % slow jobs, from 10 s on 8 %; load 0.2",
                       _step_lines),
    "overload_pulse": ("Load 0.5, for two seconds 1.2; 1 % slow jobs",
                       _pulse_lines),
    "silent_worker": ("One of 24 workers never answers from 6 s on; load 0.3",
                      _silence_lines),
}


def markdown(results):
    lines = ["# Steps, pulses, silence", "",
             "Made by `experiments/tail/run.sh steps`: parm-sim, 24 workers, "
             f"20 ms, {results['seeds']} seeds that chose no default, the same "
             "luck for all policies. p99.9 is of the queries of all seeds due "
             "in the window, windows count from the step; intervals are 95 %: "
             "of ratios of quantiles by drawing seeds, of goodput by Student's "
             f"t over the seeds' ratios. Commit {results['commit']}.", ""]
    for name, case in results["cases"].items():
        title, render = _TEXTS[name]
        lines += [f"## {title}", "", *render(case), ""]
    return "\n".join(lines)
