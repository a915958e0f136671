#!/usr/bin/env bash
# Formats every C++ file of the repository in place; --check only tells.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=(-i)
[[ ${1:-} == --check ]] && mode=(--dry-run --Werror)
git ls-files -z '*.h' '*.cc' '*.cu' | xargs -0 -r clang-format-19 "${mode[@]}"
