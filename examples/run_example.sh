# shellcheck shell=bash
# What the run.sh of every example does: sourced, not run.
#   . run_example.sh NAME "$@"
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=$1
shift

case "${1:-}" in
  -h | --help)
    sed -n '2,/^# 143/s/^# \{0,1\}//p' "$root/examples/$name/run.sh"
    exit 0
    ;;
esac

cd "$root"
scripts/bootstrap.sh
cmake --preset release >/dev/null
cmake --build --preset release --target \
  parm-frontend parm-worker parm-train parm-load
exec .venv/bin/python "examples/$name/run_example.py" "$@"
