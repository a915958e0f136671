"""Six cells on real processes, every policy in turns: a folder for each cell
with what parm-experiment writes, and report.md over all of them.

    full.py [--seconds S] [--repeats N] [--out DIR]
    full.py --report-only DIR [--simulate]    of folders that are there

--simulate runs parm-sim for the same cells and seeds, and holds its p50 and
p99.9 against what was measured.
"""

import argparse
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from experiments.harness import driver  # noqa: E402
from experiments.tail import full_report  # noqa: E402

# Folder -> scenario, load.
CELLS = {
    "slow_jobs_1_03": ("slow_jobs_1", 0.3),
    "slow_jobs_8_02": ("slow_jobs_8", 0.2),
    "slow_mode_03": ("slow_mode", 0.3),
    "shuffles_03": ("shuffles", 0.3),
    "domain_pause_03": ("domain_pause", 0.3),
    "slow_jobs_1_065": ("slow_jobs_1", 0.65),
}
POLICIES = ["none", "hedge", "coded", "backup", "hybrid"]
WORKERS = 16
# parm-experiment's exit status when a run could not be sent on time.
_REFUSED = 3


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, metavar="S",
                        help="measured part of each run (default: 120, about "
                        "three hours and a half in all)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--cells", nargs="+", choices=CELLS,
                        default=list(CELLS))
    parser.add_argument("--report-only", metavar="DIR",
                        help="runs nothing: report.md of DIR's cells")
    parser.add_argument("--simulate", action="store_true",
                        help="also what parm-sim gives for the same cells")
    parser.add_argument("--queries", type=int, default=50_000, metavar="N",
                        help="with --simulate, of each run (default: 50000)")
    parser.add_argument("--bin", default=os.path.join(
        ROOT, "build", "release", "bin"), metavar="DIR")
    parser.add_argument("--out", default=os.path.join(
        ROOT, "build", "tail", "full"), metavar="DIR")
    return parser.parse_args(arguments)


def measure(options):
    """True if every run was sent on time. An error or Ctrl-C ends the whole;
    parm-experiment keeps what the cell had, marked incomplete.
    """
    on_time = True
    for cell in options.cells:
        scenario, load = CELLS[cell]
        command = [
            sys.executable,
            os.path.join(ROOT, "experiments", "live", "parm_experiment.py"),
            os.path.join(ROOT, "experiments", "scenarios", scenario + ".yaml"),
            "--rival", "hedge", "--workers", str(WORKERS), "--load", str(load),
            "--seconds", str(options.seconds),
            "--repeats", str(options.repeats), "--bin", options.bin,
            "--out", os.path.join(options.out, cell)]
        for policy in POLICIES:
            command += ["--policy", policy]
        # In this process group, so that Ctrl-C reaches it too; it ends its
        # own children.
        with subprocess.Popen(command) as child:
            try:
                status = child.wait()
            except BaseException:
                child.terminate()
                child.wait()
                raise
        if status not in (0, _REFUSED):
            raise RuntimeError(f"{cell}: parm-experiment ended with status "
                               f"{status}")
        on_time &= status == 0
    return on_time


def main():
    options = parse_arguments(sys.argv[1:])
    folder = options.report_only or options.out
    on_time = True
    try:
        if not options.report_only:
            on_time = measure(options)
    finally:
        cells = full_report.read_cells(folder)
        if cells:
            simulated = None
            if options.simulate:
                simulated = full_report.simulate(options.bin, cells,
                                                 options.queries)
            path = os.path.join(folder, "report.md")
            with open(path, "w", encoding="utf-8") as file:
                file.write(full_report.markdown(cells, simulated))
            print(f"wrote {path}")
    if not cells:
        raise RuntimeError(f"no cell lies in {folder}: want folders with "
                           "summary.json and record.json")
    return 0 if on_time else _REFUSED


if __name__ == "__main__":
    driver.run("full", main)
