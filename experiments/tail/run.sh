#!/usr/bin/env bash
# The tail of latency under every policy.
#   run.sh quick [--out DIR]
#   run.sh full [--seconds S] [--out DIR] | --report-only DIR [--simulate]
#   run.sh grid [--trace FILE] [--seeds N] [--queries N] [--out DIR] [--jobs N]
#   run.sh steps [--seeds N] [--out DIR] [--jobs N]
# quick: two scenarios on real processes, four policies, some nine minutes once it is built; a
#       report, pictures and a run record in DIR, default build/tail/quick.
# full: six cells (scenario and load) on real processes, five policies, three
#       repeats of S seconds, default 120: about three hours and a half. A
#       folder for each cell in DIR, default build/tail/full, and report.md over
#       all; --report-only makes that of folders that are there.
# grid: load x scenario x policy x seed on virtual time (parm-sim), to grid.json,
#       grid.md and grid.png in DIR, default experiments/results/tail.
# steps: what follows a step of load or stragglers, a pulse of overload and a
#       worker's silence, window by window over 60 seeds (parm-sim), to
#       steps.json and steps.md in DIR, default experiments/results/tail.
# Bootstraps and builds what it runs; --bin DIR names programs that are built.
# `run.sh WHAT --help` tells all flags.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3

# Builds the programs named before --, unless the arguments behind it say where
# they lie, or ask for something else.
build() {
  local targets=()
  while [[ $1 != -- ]]; do
    targets+=("$1")
    shift
  done
  local argument reports='' simulates=''
  for argument in "$@"; do
    case $argument in
      --bin | --bin=* | --help | -h) return ;;
      --report-only | --report-only=*) reports=1 ;;
      --simulate) simulates=1 ;;
    esac
  done
  [[ -n $reports && -z $simulates ]] && return
  (
    cd "$root"
    scripts/bootstrap.sh
    cmake --preset release >/dev/null
    cmake --build --preset release --target "${targets[@]}"
  )
  python=$root/.venv/bin/python
}
live=(parm-frontend parm-worker parm-train parm-load parm-sim)

case "${1:-}" in
  quick)
    shift
    build "${live[@]}" -- "$@"
    scenarios=$root/experiments/scenarios
    exec "$root/experiments/parm-experiment" \
      "$scenarios"/{slow_jobs_1,slow_mode}.yaml --rival hedge --workers 16 \
      --load 0.3 --seconds 40 --policy none --policy hedge --policy coded \
      --policy hybrid --out "$root/build/tail/quick" "$@"
    ;;
  full)
    build "${live[@]}" -- "${@:2}"
    exec "$python" "$root/experiments/tail/full.py" "${@:2}"
    ;;
  grid | steps)
    build parm-sim -- "${@:2}"
    exec "$python" "$root/experiments/tail/$1.py" "${@:2}"
    ;;
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    ;;
  *)
    echo "run.sh: want quick, full, grid or steps; --help says more" >&2
    exit 2
    ;;
esac
