#!/usr/bin/env bash
# Formats every C++ file of the repository in place; --check only tells.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-}" in
  '') mode=(-i) ;;
  --check) mode=(--dry-run --Werror) ;;
  *)
    echo "format.sh: unknown argument: got $1, want --check or nothing" >&2
    exit 2
    ;;
esac
git ls-files -z '*.h' '*.cc' '*.cu' | xargs -0 -r clang-format-19 "${mode[@]}"
