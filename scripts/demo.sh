#!/usr/bin/env bash
# The whole path in one command: bootstraps, builds, trains a deployed and a
# parity model on Fashion-MNIST (cached), then drives one frontend and nine paced
# workers twice, without redundancy and coded, with slow jobs and a worker that
# dies. Ends with a table, a picture and a run record.
#   scripts/demo.sh [--seconds N] [--out DIR] [--cache DIR] [--seed N]
# Exit status: 0 done, 1 failed, 2 wrong usage, 3 the load could not be sent on
# time, 130 or 143 ended by Ctrl-C or SIGTERM.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

case "${1:-}" in
  -h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

# Paths on the command line count from where the caller stands.
args=()
while (($# > 0)); do
  case $1 in
    --out=* | --cache=*) args+=("${1%%=*}" "$(realpath -m "${1#*=}")") ;;
    --out | --cache)
      [[ $# -ge 2 ]] || { echo "demo.sh: $1 wants a folder" >&2; exit 2; }
      args+=("$1" "$(realpath -m "$2")")
      shift
      ;;
    --seconds=* | --seed=*) args+=("$1") ;;
    --seconds | --seed)
      [[ $# -ge 2 ]] || { echo "demo.sh: $1 wants a number" >&2; exit 2; }
      args+=("$1" "$2")
      shift
      ;;
    *)
      echo "demo.sh: unknown argument: got $1, want --seconds, --out," \
        "--cache or --seed" >&2
      exit 2
      ;;
  esac
  shift
done

# Each step has a process group of its own, so that a signal ends all of it:
# apt, pip and compilers start further processes.
stop() {  # exit status
  trap '' INT TERM
  local child
  for child in $(jobs -p); do
    # Just forked, it is not in its group yet.
    kill -TERM -- "-$child" 2>/dev/null || kill -TERM "$child" 2>/dev/null ||
      true
  done
  wait 2>/dev/null || true
  exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM
step() {
  setsid "$@" &
  wait "$!"
}

cd "$root"
step scripts/bootstrap.sh
step cmake --preset release
step cmake --build --preset release --target \
  parm-frontend parm-worker parm-train parm-load
trap - INT TERM
exec .venv/bin/python experiments/demo/run_demo.py "${args[@]}"
