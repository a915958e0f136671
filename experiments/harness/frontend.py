"""Asks a running frontend: is it ready, what has it counted."""

import re
import time
import urllib.error
import urllib.request


def http_get(address, path, timeout_s=30):
    """(status, body); status 0 if nothing answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}",
                                    timeout=timeout_s) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def wait_until_ready(address, model, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    path = f"/v2/models/{model}/ready"
    while time.monotonic() < deadline:
        if http_get(address, path)[0] == 200:
            return
        time.sleep(0.05)
    raise RuntimeError(
        f"frontend at {address} is not ready for {model} in {timeout_s} s")


class Metrics:
    """One scrape of /metrics."""

    _LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
    _LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self._values = []
        for line in text.splitlines():
            match = self._LINE.match(line)
            if match:
                name, labels, value = match.groups()
                self._values.append(
                    (name, dict(self._LABEL.findall(labels or "")),
                     float(value)))

    @classmethod
    def scrape(cls, address):
        status, text = http_get(address, "/metrics")
        if status != 200:
            raise RuntimeError(f"no metrics from {address}: HTTP {status}")
        return cls(text)

    def total(self, name, **labels):
        """Sum over the series of this name that carry these labels."""
        return sum(value for series, found, value in self._values
                   if series == name and
                   all(found.get(k) == v for k, v in labels.items()))

    def quantile(self, name, q):
        """Upper bound of the histogram's bucket that holds quantile q."""
        buckets = {}
        for series, labels, value in self._values:
            if series == name + "_bucket":
                bound = float(labels["le"].replace("+Inf", "inf"))
                buckets[bound] = buckets.get(bound, 0) + value
        count = max(buckets.values(), default=0)
        if count == 0:
            return None
        return min(bound for bound, below in buckets.items()
                   if below >= q * count)
