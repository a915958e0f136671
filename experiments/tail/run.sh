#!/usr/bin/env bash
# The tail of latency under every policy.
#   run.sh quick [--out DIR]
#   run.sh full [--out DIR]
#   run.sh grid [--trace FILE] [--seeds N] [--queries N] [--out DIR] [--jobs N]
# quick: two scenarios on real processes, four policies, some nine minutes; a
#       report, pictures and a run record in DIR, default build/tail/quick. Needs
#       what scripts/demo.sh builds, and parm-sim.
# full: four scenarios, five policies, three repeats of five minutes each: six
#       hours; DIR: build/tail/full.
# grid: load x scenario x policy x seed on virtual time (parm-sim), to grid.json,
#       grid.md and grid.png in DIR, default experiments/results/tail. Needs
#       build/release/bin/parm-sim. `run.sh grid --help` tells all flags.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3

live() {
  exec "$root/experiments/parm-experiment" --rival hedge \
    --workers 16 --load 0.3 "$@"
}
scenarios=$root/experiments/scenarios

case "${1:-}" in
  quick)
    shift
    live "$scenarios"/{slow_jobs_1,slow_mode}.yaml --seconds 40 \
      --policy none --policy hedge --policy coded --policy hybrid \
      --out "$root/build/tail/quick" "$@"
    ;;
  full)
    shift
    live "$scenarios"/{slow_jobs_1,slow_jobs_8,slow_mode,domain_pause}.yaml \
      --seconds 300 --repeats 3 --policy none --policy hedge \
      --policy replicate --policy coded --policy hybrid \
      --out "$root/build/tail/full" "$@"
    ;;
  grid)
    shift
    exec "$python" "$root/experiments/tail/grid.py" "$@"
    ;;
  -h | --help)
    sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    ;;
  *)
    echo "run.sh: want quick, full or grid; --help says more" >&2
    exit 2
    ;;
esac
