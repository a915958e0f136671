"""The run record of a driver, whose runs parm-load made."""

import json
import os
import platform
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def commit():
    """What is checked out, as git describes it."""
    result = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def _machine():
    """As proto/machine_name.cc names it."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return (f"{os.cpu_count()} x {model}, "
            f"{platform.system()} {platform.release()}")


class RunRecord:
    """Begins when it is made; `add` takes what parm-load wrote."""

    def __init__(self, name, seed, config):
        self._document = {
            "name": name, "commit": commit(), "machine": _machine(),
            "seed": seed,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "config": {**config, "python": platform.python_version()},
            "runs": [],
        }

    def add(self, run):
        self._document["runs"].append(run)

    def add_to_config(self, key, value):
        """For figures that are no runs of parm-load, and for settings."""
        self._document["config"][key] = value

    def write(self, path, parm_load):
        """Writes it, and has `parm_load` check it."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self._document, file, indent=2)
            file.write("\n")
        subprocess.run([parm_load, "--check-record", path], check=True,
                       stdout=subprocess.DEVNULL)
