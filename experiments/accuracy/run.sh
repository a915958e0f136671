#!/usr/bin/env bash
# Trains and evaluates every unit of redundancy of a suite, and writes a Markdown
# table, a JSON record and a picture beside ParM's published figures.
#   experiments/accuracy/run.sh SUITE [--quick] [--trained-only] [--jobs N]
#       [--out DIR] [--results DIR]
# SUITE      fashion or cifar10
# --quick    a smoke run: few samples, one epoch, k = 2 only; no figures to quote
# --trained-only  reports on what is trained already; the table names the rest
# --jobs     trainings at once, one core each; with more than one, what each
#            prints goes to NAME.log beside its bundle
# --out      where bundles and reports go; default out/accuracy/SUITE[-quick]
# --results  where to copy the table, the record and the picture besides
# Needs build/release/bin/parm-train (PARM_BIN names another folder). The data
# set of fashion is looked for where scripts/bootstrap.sh put it; PARM_DATA names
# another folder of IDX files. cifar10 takes pictures and weights from the folder
# PARM_FILES (experiments/data/README.md) and needs parm-resnet20-weights too.
# PARM_THREADS: threads, default 1. What is interrupted goes
# on where it stopped when run again.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case "${1:-}" in
  -h | --help | "")
    sed -n '2,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    [[ $# -gt 0 ]]
    exit
    ;;
esac
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3
exec "$python" "$root/experiments/accuracy/run_suite.py" "$@"
