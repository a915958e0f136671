"""What a process has used: CPU time of all its threads, memory."""

import ctypes
import os
import time

_LIBC = ctypes.CDLL(None)


def cpu_s(pid):
    """Of threads that have ended too, unlike the sum over /proc/PID/task."""
    clock = ctypes.c_int()
    error = _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise ProcessLookupError(error, os.strerror(error))
    return time.clock_gettime_ns(clock.value) / 1e9


def resident_mb(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6
