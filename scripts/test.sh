#!/usr/bin/env bash
# Bootstraps, builds and runs the tests.
#   scripts/test.sh            the fast suite, release build
#   scripts/test.sh --all      also the long runs (20 simulator seeds of 10^6)
#   scripts/test.sh --asan     AddressSanitizer and UBSan, all without torch
#   scripts/test.sh --tsan     ThreadSanitizer, likewise
# What stands behind -- goes to ctest: scripts/test.sh -- -R encoder
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

preset=release
exclude=
while (($# > 0)); do
  case $1 in
    --all) export PARM_ALL=1 ;;
    --asan | --tsan)
      if [[ $preset != release ]]; then
        echo "test.sh: --asan and --tsan are builds of their own: want one" >&2
        exit 2
      fi
      preset=${1#--}
      ;;
    --)
      shift
      break
      ;;
    -h | --help)
      sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      echo "test.sh: unknown argument: got $1, want --all, --asan, --tsan" >&2
      exit 2
      ;;
  esac
  shift
done
# ThreadSanitizer gives false reports inside packaged gRPC and LibTorch.
[[ $preset == tsan ]] && exclude='torch|grpc|cuda'
# Benchmarks are smoke-tested in the release build alone.
[[ $preset == release ]] || exclude="${exclude:+$exclude|}bench-smoke"

scripts/bootstrap.sh
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --test-dir "build/$preset" --output-on-failure --parallel 2 \
  --no-tests=error ${exclude:+--label-exclude "$exclude"} "$@"
