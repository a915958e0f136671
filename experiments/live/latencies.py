"""Latencies of the queries of a run, one by one, as parm-load logs them:
quantiles, tail masses, intervals.
"""

import math

import numpy as np

# Of a normal law: the interval of 95 %.
_Z = 1.96
# Queries of one block share the fate of its second; blocks are independent.
BLOCK_S = 1.0
RESAMPLES = 400
_SEED = 1


def quantile(values, q):
    """The sample of rank ceil(q n)."""
    rank = max(1, math.ceil(q * len(values) - 1e-9))
    return float(np.partition(values, rank - 1)[rank - 1])


class QueryLog:
    """Latencies in milliseconds from the scheduled send, with the seconds since
    the start of the warm-up at which each was due.
    """

    def __init__(self, due_s, latency_ms, outcomes=None):
        self.due_s = np.asarray(due_s, dtype=float)
        self.latency_ms = np.asarray(latency_ms, dtype=float)
        self.outcomes = np.asarray(
            outcomes if outcomes is not None else ["exact"] * len(self.due_s))

    @classmethod
    def read(cls, paths):
        """Of one load, or of several that ran side by side."""
        rows = []
        for path in paths:
            with open(path, encoding="utf-8") as file:
                next(file)
                rows += [line.rstrip("\n").split(",") for line in file]
        return cls([row[0] for row in rows], [row[1] for row in rows],
                   [row[2] for row in rows])

    def __len__(self):
        return len(self.latency_ms)

    def at(self, q):
        return quantile(self.latency_ms, q)

    def interval(self, q):
        """(value, low, high): 95 %, by order statistics, as if queries were
        independent. None where the sample is too small to bound it.
        """
        half = _Z * math.sqrt(q * (1 - q) / len(self))
        low = self.at(q - half) if q > half else None
        high = self.at(q + half) if q + half < 1 else None
        return self.at(q), low, high

    def blocks(self):
        """Number of the second -> latencies of the queries due in it."""
        numbers = np.floor(self.due_s / BLOCK_S).astype(int)
        return {number: self.latency_ms[numbers == number]
                for number in np.unique(numbers)}


def _blocks_of(logs):
    """(repeat, second) -> latencies. `logs`: repeat -> QueryLog."""
    return {(repeat, number): values for repeat, log in logs.items()
            for number, values in log.blocks().items()}


def _interval_of(draws):
    return (float(np.percentile(draws, 2.5)),
            float(np.percentile(draws, 97.5)))


def pooled(logs, q):
    """(value, low, high): quantile over all repeats, with a 95 % interval by
    block bootstrap, so that faults that hold for a while count as one.
    """
    blocks = list(_blocks_of(logs).values())
    value = quantile(np.concatenate(blocks), q)
    if len(blocks) < 5:
        return value, None, None
    random = np.random.default_rng(_SEED)
    draws = [quantile(np.concatenate(
        [blocks[i] for i in random.integers(len(blocks), size=len(blocks))]),
        q) for _ in range(RESAMPLES)]
    return (value, *_interval_of(draws))


def paired(logs, rivals, q):
    """{"difference_ms": (value, low, high), "ratio": ...} of a quantile and
    the rival's over the repeats that both have. Both are drawn the same
    seconds, in which they met the same arrivals and faults. None if there are
    fewer than five.
    """
    mine, theirs = _blocks_of(logs), _blocks_of(rivals)
    keys = sorted(set(mine) & set(theirs))
    if len(keys) < 5:
        return None

    def both(chosen):
        return [quantile(np.concatenate([blocks[key] for key in chosen]), q)
                for blocks in (mine, theirs)]
    value, rival = both(keys)
    random = np.random.default_rng(_SEED)
    draws = [both([keys[i] for i in random.integers(len(keys),
                                                    size=len(keys))])
             for _ in range(RESAMPLES)]
    return {"difference_ms": (value - rival,
                              *_interval_of([a - b for a, b in draws])),
            "ratio": (value / rival, *_interval_of([a / b for a, b in draws]))}


def recovery_s(log, plan):
    """After a pulse of load: seconds from its end until the median of a second
    is within 10 % of what it was before, and stays there for another. None if
    there was no pulse, or no recovery.
    """
    steps = plan["rate_steps"]
    if len(steps) < 2 or steps[-1]["rate_qps"] >= steps[-2]["rate_qps"]:
        return None
    medians = {number: float(np.median(values))
               for number, values in log.blocks().items()}
    before = [value for number, value in medians.items()
              if number + BLOCK_S <= steps[0]["at_s"]]
    if not before:
        return None
    limit = 1.1 * float(np.median(before))
    end = math.ceil(steps[-1]["at_s"])
    for number in sorted(medians):
        if (number >= end and medians[number] <= limit and
                medians.get(number + 1, limit) <= limit):
            return number - steps[-1]["at_s"]
    return None
