#!/usr/bin/env bash
# The tail of latency under every policy.
#   run.sh grid [--trace FILE] [--seeds N] [--queries N] [--out DIR] [--jobs N]
# grid: load x scenario x policy x seed on virtual time (parm-sim), to grid.json,
#       grid.md and grid.png in DIR, default experiments/results/tail. Needs
#       build/release/bin/parm-sim. `run.sh grid --help` tells all flags.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3

case "${1:-}" in
  grid)
    shift
    exec "$python" "$root/experiments/tail/grid.py" "$@"
    ;;
  -h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    ;;
  *)
    echo "run.sh: want grid; --help says more" >&2
    exit 2
    ;;
esac
