"""The queries of many simulated runs of one policy, pooled window by window, and
intervals over the runs.
"""

import numpy as np

RESAMPLES = 200
_RANDOM_SEED = 1
# Answers that hold no prediction, by the first letters that are read.
_UNANSWERED = (b"err", b"def", b"los")


def read_log(path):
    """What parm-sim --logs wrote, as a structured array."""
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=1,
                      dtype=[("due_s", "f4"), ("latency_ms", "f4"),
                             ("outcome", "S3")])


def quantile(values, q):
    """The sample of rank ceil(q n); None of none."""
    if len(values) == 0:
        return None
    rank = max(1, int(np.ceil(q * len(values) - 1e-9)))
    return float(np.partition(values, rank - 1)[rank - 1])


class PooledLogs:
    """One log for each seed, all of one policy."""

    def __init__(self, logs):
        self._logs = logs

    def __len__(self):
        return len(self._logs)

    def latencies(self, from_s, to_s, outcome=None):
        """Of the queries due in [from_s, to_s), an array for each seed; only
        those that ended so, if `outcome` is given (three letters).
        """
        chosen = []
        for log in self._logs:
            keep = (log["due_s"] >= from_s) & (log["due_s"] < to_s)
            if outcome is not None:
                keep &= log["outcome"] == outcome.encode()
            chosen.append(log["latency_ms"][keep])
        return chosen

    def at(self, q, from_s, to_s, outcome=None):
        return quantile(np.concatenate(self.latencies(from_s, to_s, outcome)),
                        q)

    def goodput(self, from_s, to_s):
        """Queries due in the window that got a prediction, for each seed."""
        return np.array([
            np.count_nonzero((log["due_s"] >= from_s) & (log["due_s"] < to_s) &
                             ~np.isin(log["outcome"], _UNANSWERED))
            for log in self._logs])


def bootstrap_ratio(mine, theirs, q):
    """(ratio, low, high) of pooled quantiles: 95 %, by drawing whole seeds, the
    same for both. `mine`, `theirs`: an array for each seed.
    """
    random = np.random.default_rng(_RANDOM_SEED)

    def ratio(chosen):
        return (quantile(np.concatenate([mine[i] for i in chosen]), q) /
                quantile(np.concatenate([theirs[i] for i in chosen]), q))
    everything = range(len(mine))
    draws = [ratio(random.integers(len(mine), size=len(mine)))
             for _ in range(RESAMPLES)]
    return (ratio(everything), float(np.percentile(draws, 2.5)),
            float(np.percentile(draws, 97.5)))
