#!/bin/sh
# Tests of layers and hooks with the oldest and with the newest releases that setup.cfg allows, each in an environment of
# its own under the folder that is given; prints a table. Needs a package index, some GB, and Python 3.10 for the oldest.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?usage: sh tests/matrix.sh FOLDER [pytest arguments]}
shift
mkdir -p "$folder"
OLDEST="torch==2.5.* torchvision==0.20.* timm==1.0.0 numpy==1.24.* pytorch-ignite==0.5.0.post2 faiss-cpu==1.8.0.post1"
PACKAGES="torch timm numpy pytorch-ignite faiss-cpu faiss-gpu"

try() { # name, interpreter, then constraints
    name=$1 python=$2
    shift 2
    "$python" -m venv "$folder/$name"
    "$folder/$name/bin/python" -m pip install --quiet "$root[test]" "$@"
    if (cd "$root" && PYTHONPATH=$root "$folder/$name/bin/python" -m pytest -q $TESTS) >"$folder/$name.log" 2>&1; then
        result=passes
    else
        result="fails, see $folder/$name.log"
    fi
    versions=$("$folder/$name/bin/python" -m pip freeze | grep -E "^($(echo $PACKAGES | tr ' ' '|'))==" | tr '\n' ' ')
    echo "| $name | $versions| $result |" >>"$folder/table.md"
}

TESTS=${*:-tests/layers tests/hooks}
printf '| environment | versions | tests |\n|---|---|---|\n' >"$folder/table.md"
# shellcheck disable=SC2086
try oldest "${OLDEST_PYTHON:-python3.10}" $OLDEST
try newest "${NEWEST_PYTHON:-python3}" --upgrade
cat "$folder/table.md"
