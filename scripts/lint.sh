#!/usr/bin/env bash
# Static checks: every file and every header by itself under clang 19 with
# -Wthread-safety and warnings as errors, then shell scripts' syntax.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/bootstrap.sh
cmake --preset lint >/dev/null
cmake --build --preset lint
git ls-files -z '*.sh' .ci/run | xargs -0 -n 1 bash -n
