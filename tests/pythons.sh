#!/bin/sh
# Builds the wheel from what is committed, checks it by twine, and tries it with every Python from 3.10 to 3.13 that is
# there, or with the versions that are named, each in an environment of its own under FOLDER, which is new: README's
# lines outside of the clone, then the tests of rooms and hooks; prints a table. Needs a package index and some GB; an
# environment is removed after its turn.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?usage: sh tests/pythons.sh FOLDER [VERSION ...]}
shift
[ $# -gt 0 ] || set -- 3.10 3.11 3.12 3.13
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
mkdir "$folder/source" "$folder/empty" # fails where the folder was used before
git -C "$root" archive HEAD | tar x -C "$folder/source"
python3 -m venv "$folder/tools"
"$folder/tools/bin/python" -m pip install --quiet build twine
"$folder/tools/bin/python" -m build --outdir "$folder/dist" "$folder/source" >"$folder/build.log" 2>&1
"$folder/tools/bin/python" -m twine check --strict "$folder"/dist/*
awk '/^```python$/ { on = 1; next } /^```$/ { if (on) exit } on' "$folder/source/README.md" >"$folder/readme.py"
rm -r "$folder/source/dmsrl_adapt" # so that the wheel's is tested

passes() { # name of a log, then a command
    log=$1
    shift
    if OMP_NUM_THREADS=1 "$@" >"$folder/$log.log" 2>&1; then echo passes; else echo "fails, see $folder/$log.log"; fi
}

printf '| Python | README | tests of rooms and hooks |\n|---|---|---|\n' >"$folder/table.md"
for version in "$@"; do
    name=python$version environment=$folder/python$version
    # by one pip for all, and compiling only what is imported: most of the time goes into installing
    if ! "$name" -m venv --without-pip "$environment" 2>/dev/null; then
        echo "| $version | is not here | |" >>"$folder/table.md"
        continue
    fi
    python=$environment/bin/python
    "$folder/tools/bin/python" -m pip --python "$python" install --quiet --no-compile \
        "$(ls "$folder"/dist/*.whl)[bench]" "pytest>=8" "hypothesis>=6.100" "jsonschema>=4.18"
    readme=$(cd "$folder/empty" && passes "readme-$version" "$python" -W ignore ../readme.py)
    tests=$(cd "$folder/source" && passes "tests-$version" "$python" -m pytest -q tests/losses tests/labelers tests/backbones tests/augment tests/training tests/hooks)
    echo "| $("$python" -V | cut -d' ' -f2) | $readme | $tests |" >>"$folder/table.md"
    rm -rf "$environment"
done
cat "$folder/table.md"
