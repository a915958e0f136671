#!/usr/bin/env bash
# parm-frontend before four real Triton servers, one of which is stopped for a
# second every ten: what clients wait, without redundancy and with each kind.
# Bootstraps, builds, trains two small models (cached), installs Triton from
# PyPI into build/servers/triton, runs, prints a table. About 4 minutes when all
# is there; everything it starts it ends.
#   examples/triton/run.sh [--seconds N] [--policies none,hedge,coded,hybrid]
# Exit status: 0 done, 1 failed, 3 the load could not be sent on time, 130 or
# 143 ended by Ctrl-C or SIGTERM.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

case "${1:-}" in
  -h | --help)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

cd "$root"
scripts/bootstrap.sh
cmake --preset release >/dev/null
cmake --build --preset release --target \
  parm-frontend parm-worker parm-train parm-load
exec .venv/bin/python examples/triton/run_example.py "$@"
