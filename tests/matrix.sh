#!/bin/sh
# Tests the package with the oldest and the newest releases of all dependencies that setup.cfg allows, and with the
# other wheel of FAISS; prints a table. Environments are stored in the given folder, and finished rows are not repeated.
# Needs uv (pip install uv), a package index, 15 GB, and two Pythons: set OLDEST_PYTHON and NEWEST_PYTHON.
set -eu
cd "$(dirname "$0")/.."
folder=${1:?usage: sh tests/matrix.sh FOLDER [pytest arguments]}
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# a cache on the same disk, so that links into it take no additional space
export UV_CACHE_DIR="$folder/cache" UV_PYTHON_DOWNLOADS=never
PARTS="tests/hooks tests/losses tests/labelers tests/backbones tests/augment tests/training tests/test_adapter.py
    tests/test_attach.py tests/test_components.py tests/test_recipe.py tests/test_dmsrl_hook.py tests/test_lightning.py
    tests/test_ddp.py"
FAISS="tests/labelers/test_faiss_search.py tests/labelers/test_prototype_labeler.py tests/labelers/test_neighbour_memory.py
    tests/hooks/test_pseudo_label.py"

row() { # resolution, Python, faiss wheel, pytest arguments
    resolution=$1 python=$2 wheel=$3
    shift 3
    environment="$folder/$resolution-$wheel"
    [ ! -s "$environment.md" ] || return 0
    uv venv --quiet --clear --python "$python" "$environment"
    install() { uv pip install --quiet --python "$environment" --resolution "$resolution" "$@"; }
    install --requirements setup.cfg --extra test
    if [ "$wheel" = faiss-cpu ]; then # never both in one environment
        uv pip uninstall --quiet --python "$environment" faiss-gpu
        install "$(sed -n 's/^ *\(faiss-cpu[^;]*\);.*/\1/p' setup.cfg)"
    fi
    PYTHONPATH=$PWD "$environment/bin/python" -m pytest -q -p no:cacheprovider "$@" >"$environment.log" 2>&1 || true
    versions=$(for name in torch timm numpy pytorch-ignite "$wheel" lightning; do
        uv pip freeze --quiet --python "$environment" | sed -n "s/^$name==/| /p"
    done | tr '\n' ' ')
    # warnings at Python's end come after pytest's last line
    ended=$(grep -E '(passed|failed|error).* in [0-9]' "$environment.log" | tail -n 1)
    echo "| $("$environment/bin/python" -V | cut -d' ' -f2) $versions| $wheel | $ended |" >"$environment.md"
}

# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $PARTS
oldest=${OLDEST_PYTHON:-python3.10} newest=${NEWEST_PYTHON:-python3.13}
row lowest-direct "$oldest" faiss-gpu "$@"
# shellcheck disable=SC2086
row lowest-direct "$oldest" faiss-cpu $FAISS
row highest "$newest" faiss-gpu "$@"
# shellcheck disable=SC2086
row highest "$newest" faiss-cpu $FAISS
echo '| Python | torch | timm | numpy | ignite | FAISS | lightning | wheel | tests |'
echo '|---|---|---|---|---|---|---|---|---|'
cat "$folder"/*.md
