"""What else the machine did during a run: its own record of time stolen by the
host, of time busy, and its load average.
"""

import os


def _read():
    with open("/proc/stat", encoding="utf-8") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks), idle, ticks[7]


class HostWatch:
    """Begins when it is made."""

    def __init__(self):
        self._begin = _read()

    def figures(self):
        """Shares of all cores' time since the beginning."""
        total, idle, stolen = (
            now - then for now, then in zip(_read(), self._begin))
        total = max(1, total)
        return {"steal_share": stolen / total,
                "busy_share": 1 - idle / total,
                "load_average": os.getloadavg()[0]}


def sentence(figures, cores=None):
    """Of several runs, for a report."""
    if not figures:
        return ""
    cores = cores or os.cpu_count()

    def most(key):
        return max(each[key] for each in figures)
    text = (f"Host: load average up to {most('load_average'):.1f} on {cores} "
            f"cores, {100 * most('busy_share'):.0f} % busy, "
            f"{100 * most('steal_share'):.1f} % stolen at most.")
    if most("load_average") > cores or most("steal_share") > 0.02:
        text += " The machine was loaded: read tails with care."
    return text
