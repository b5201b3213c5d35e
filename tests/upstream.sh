#!/bin/sh
# Runs upstream's own tests for hooks, layers, containers and adapters twice, without our package and after importing it,
# and compares what every single test ends in. Needs a clone of pytorch-adapt 0.0.83, and record-keeper and tensorboard,
# which its adapters' tests log to; uses the Python that PYTHON names.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
clone=${1:?usage: sh tests/upstream.sh CLONE_OF_PYTORCH_ADAPT [pytest arguments]}
shift
[ $# -gt 0 ] || set -- tests/hooks tests/layers tests/containers tests/adapters
results=$(mktemp -d)
cp -r "$clone/." "$results/clone"
cd "$results/clone"
# the adapters are trained on pictures of random numbers; few of 32 pixels, two batches of 32, a CPU does in seconds
sed -i -e 's/(3, 224, 224)/(3, 32, 32)/' -e 's/Adaptation([0-9]*)/Adaptation(64)/' tests/adapters/utils.py
export TEST_DTYPES=float32 TEST_DEVICE=cpu PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
for name in without with; do
    plugin=
    [ "$name" = with ] && plugin="-p dmsrl_adapt -p dmsrl_adapt.frameworks.ignite"
    # shellcheck disable=SC2086
    "${PYTHON:-python3}" -m pytest -q -rA -p no:cacheprovider --continue-on-collection-errors $plugin "$@" \
        >"$results/$name.log" 2>&1 || true
    grep -E '^(PASSED|FAILED|ERROR|SKIPPED) ' "$results/$name.log" | sed 's/ - .*//' | sort >"$results/$name.txt"
done
diff "$results/without.txt" "$results/with.txt"
grep -v ^PASSED "$results/with.txt" || true
echo "every test ends in the same with our package as without: $(tail -n 1 "$results/with.log")"
