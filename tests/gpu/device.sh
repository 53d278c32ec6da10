#!/usr/bin/env bash
# nox -s gpu on a machine with neither a network nor nox: bash CARRIED/tree/tests/gpu/device.sh [arguments of gpu.py]
# CARRIED is a folder that tests/gpu/carry.py made. Results go to $OUT, or to CARRIED/out where that is not set; runs are
# kept in $RUNS, or below the tree.
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
carried=$(dirname "$tree")
out=${OUT:-$carried/out}
python=${PYTHON:-python3}
site=$(mktemp -d)
mkdir -p "$out"
install=("$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check)
"${install[@]}" --root-user-action=ignore --target "$site" "$carried"/wheels/*.whl
# A wheel like any other installation: its metadata name the plugins.
PYTHONPATH=$site "${install[@]}" --root-user-action=ignore --no-build-isolation --upgrade --target "$site" "$tree"
cd "$tree"
mkdir -p data
ln -sfn "$carried/fashion-mnist" data/fashion-mnist
runs=${RUNS:-$tree/runs/gpu}
if [ -d "$carried/classifier" ]; then
    mkdir -p "$runs/fashion"
    cp -rn "$carried/classifier" "$runs/fashion/"
fi
export PYTHONPATH=$site PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false MPLBACKEND=Agg
"$python" "$tree/tests/gpu/gpu.py" --out "$out" --runs "$runs" "$@" 2>&1 | tee "$out/gpu.log"
