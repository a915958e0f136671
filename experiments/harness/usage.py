"""What a process has used: CPU time of all its threads, memory."""

import os


def cpu_s(pid):
    """Of the threads that live now."""
    total_ns = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat",
                      encoding="utf-8") as file:
                total_ns += int(file.read().split()[0])
        except FileNotFoundError:
            pass  # It has just ended.
    return total_ns / 1e9


def resident_mb(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6
