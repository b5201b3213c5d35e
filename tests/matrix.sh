#!/bin/sh
# Tests of the package with the oldest and with the newest releases that setup.cfg allows of everything it names, and
# with the other wheel of FAISS in each; prints a table. Environments lie under the folder that is given. Needs uv
# (pip install uv), a package index, 15 GB, and Pythons: OLDEST_PYTHON and NEWEST_PYTHON name them.
set -eu
cd "$(dirname "$0")/.."
folder=${1:?usage: sh tests/matrix.sh FOLDER [pytest arguments]}
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# links into a cache on the same disk take no room of their own
export UV_CACHE_DIR="$folder/cache" UV_PYTHON_DOWNLOADS=never
PARTS="tests/hooks tests/layers tests/test_adapter.py tests/test_attach.py tests/test_components.py tests/test_recipes.py
    tests/test_checkpoints.py tests/test_lightning.py tests/test_ddp.py"
FAISS="tests/layers/test_faiss_search.py tests/layers/test_prototype_labeler.py tests/layers/test_neighbour_memory.py
    tests/hooks/test_pseudo_label.py"

row() { # environment, faiss wheel, pytest arguments
    environment=$1 wheel=$2
    shift 2
    log="$folder/$environment-$wheel.log"
    PYTHONPATH=$PWD "$folder/$environment/bin/python" -m pytest -q -p no:cacheprovider "$@" >"$log" 2>&1 || true
    versions=$(for name in torch timm numpy pytorch-ignite "$wheel" lightning; do
        uv pip freeze --quiet --python "$folder/$environment" | sed -n "s/^$name==/| /p"
    done | tr '\n' ' ')
    echo "| $("$folder/$environment/bin/python" -V | cut -d' ' -f2) $versions| $wheel | $(tail -n 1 "$log") |" >>"$folder/table.md"
}

try() { # environment, Python, resolution, pytest arguments
    environment=$1 resolution=$3
    [ -d "$folder/$environment" ] || uv venv --quiet --python "$2" "$folder/$environment"
    shift 3
    install() { uv pip install --quiet --python "$folder/$environment" --resolution "$resolution" "$@"; }
    install --requirements setup.cfg --extra test
    row "$environment" faiss-gpu "$@"
    # never both in one environment
    uv pip uninstall --quiet --python "$folder/$environment" faiss-gpu
    install "$(sed -n 's/^ *\(faiss-cpu[^;]*\);.*/\1/p' setup.cfg)"
    # shellcheck disable=SC2086
    row "$environment" faiss-cpu $FAISS
    uv pip uninstall --quiet --python "$folder/$environment" faiss-cpu
}

# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $PARTS
printf '| Python | torch | timm | numpy | ignite | FAISS | lightning | wheel | tests |\n|---|---|---|---|---|---|---|---|---|\n' \
    >"$folder/table.md"
try oldest "${OLDEST_PYTHON:-python3.10}" lowest-direct "$@"
try newest "${NEWEST_PYTHON:-python3.13}" highest "$@"
cat "$folder/table.md"
