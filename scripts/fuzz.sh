#!/usr/bin/env bash
# Fuzzes what reads bytes from outside, one libFuzzer program after the other.
#   scripts/fuzz.sh [--seconds S] [--jobs N] [TARGET...]
# --seconds  for each target, default 600
# --jobs     targets at a time, default 2
# TARGET     as under tests/, proto/envelope_fuzz; default all that are there
# Starts from the committed corpora (tests/TARGET.corpus) and from what earlier
# runs found worth keeping (build/fuzz/corpus). Prints a line for each target;
# inputs that crash, leak, hang for 10 s or take 2 GiB lie in build/fuzz/findings,
# and the exit status is 1.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

seconds=600
jobs=2
targets=()
while (($# > 0)); do
  case $1 in
    --seconds | --jobs)
      if ! [[ ${2:-} =~ ^[1-9][0-9]{0,4}$ ]]; then
        echo "fuzz.sh: $1: got '${2:-}', want a number, 1 to 99999" >&2
        exit 2
      fi
      declare "${1#--}=$2"
      shift
      ;;
    -h | --help)
      sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      if [[ $1 == -* || ! -f tests/$1.cc || ! -d tests/$1.corpus ]]; then
        echo "fuzz.sh: got $1, want a target as proto/envelope_fuzz" >&2
        exit 2
      fi
      targets+=("$1")
      ;;
  esac
  shift
done
if ((${#targets[@]} == 0)); then
  mapfile -t targets < <(cd tests && find . -name '*_fuzz.cc' |
    sed 's|^\./||; s|\.cc$||' | sort)
fi

scripts/bootstrap.sh
cmake --preset fuzz >/dev/null
ninja -C build/fuzz "${targets[@]//\//_}"

# One target; the line that is printed for it.
fuzz_one() {
  local program=${1//\//_} status=0 stat
  local log=build/fuzz/log/$program.txt
  mkdir -p build/fuzz/{log,findings} "build/fuzz/corpus/$program"
  "build/fuzz/tests/$program" -max_total_time="$2" -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/findings/$program-" \
    "build/fuzz/corpus/$program" "tests/$1.corpus" >"$log" 2>&1 || status=$?
  stat=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  if ((status == 0)); then
    echo "$1: nothing found in $2 s, ${stat:-no} inputs"
  else
    echo "$1: FOUND (exit status $status), see $log"
  fi
  return "$status"
}
export -f fuzz_one
# shellcheck disable=SC2016  # the inner shell expands them
printf '%s\n' "${targets[@]}" |
  xargs -P "$jobs" -I{} bash -c 'fuzz_one "$1" "$2" || exit 1' _ {} "$seconds"
