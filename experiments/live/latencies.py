"""Quantiles and tail masses with intervals, from the distribution that
parm-load writes.
"""

import bisect
import csv
import math

# Of a normal law: the interval of 95 %.
_Z = 1.96


class Distribution:
    """Latencies in milliseconds from the scheduled send."""

    def __init__(self, quantiles, latencies_ms, count):
        self._quantiles = quantiles
        self._latencies_ms = latencies_ms
        self._count = count

    @classmethod
    def read(cls, path, count):
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return cls([float(row["quantile"]) for row in rows],
                   [float(row["latency_ms"]) for row in rows], count)

    def at(self, q):
        """The least latency listed at quantile q or above."""
        index = bisect.bisect_left(self._quantiles, q - 1e-12)
        return self._latencies_ms[min(index, len(self._latencies_ms) - 1)]

    def interval(self, q):
        """(value, low, high): 95 %, by order statistics, as if queries were
        independent. None where the sample is too small to bound it.
        """
        half = _Z * math.sqrt(q * (1 - q) / self._count)
        low = self.at(q - half) if q > half else None
        high = self.at(q + half) if q + half < 1 else None
        return self.at(q), low, high

    def share_above(self, latency_ms):
        """Of all queries; the distribution is ever finer towards its end."""
        below = 0.0
        for q, value in zip(self._quantiles, self._latencies_ms):
            if value > latency_ms:
                return 1 - below
            below = q
        return 0.0
