#!/usr/bin/env bash
# Trains ParM's MLP on Fashion-MNIST and sum parities for k = 2, 3, 4, and prints
# A_a and A_d as a Markdown table. Needs build/release/bin/parm-train.
# usage: sum_fashion.sh [OUT]    default OUT: out/sum_fashion
# PARM_DATA names another folder of IDX files; PARM_THREADS threads, default 1;
# PARM_ARCH mlp (default) or cnn; PARM_TRAIN_ARGS further flags of parm-train.
# An interrupted run goes on where it stopped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${1:-$root/out/sum_fashion}
data=idx:${PARM_DATA:-/usr/share/datasets/fashion-mnist}
arch=${PARM_ARCH:-mlp}
train=$root/build/release/bin/parm-train
[[ -x $train ]] || { echo "missing $train: build it first (README)" >&2; exit 1; }
read -ra more <<<"${PARM_TRAIN_ARGS:-}"
common=(--data "$data" --seed 1 --threads "${PARM_THREADS:-1}" --resume
  "${more[@]}")

mkdir -p "$out"
[[ -d $out/deployed ]] ||
  "$train" deployed --arch "$arch" --out "$out/deployed" "${common[@]}"
for k in 2 3 4; do
  [[ -d $out/sum$k ]] || "$train" parity --deployed "$out/deployed" \
    --scheme sum --k $k --out "$out/sum$k" "${common[@]}"
  "$train" evaluate --deployed "$out/deployed" --parity "$out/sum$k" \
    --data "$data" --json "$out/sum$k.json"
done

python3 - "$out" <<'PYTHON'
import json, sys
print("| k | A_a % | A_d % | drop |\n| --- | --- | --- | --- |")
for k in (2, 3, 4):
    report = json.load(open(f"{sys.argv[1]}/sum{k}.json"))
    a_a, a_d = 100 * report["a_a"], 100 * report["a_d"]["1"]
    print(f"| {k} | {a_a:.2f} | {a_d:.2f} | {a_a - a_d:.2f} |")
PYTHON
