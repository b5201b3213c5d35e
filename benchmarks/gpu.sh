#!/bin/sh
# Measures on a machine with a GPU: its tests, a step without waits, step times relative to DANN, labelling of a million
# samples. Writes speed-gpu.json into the folder given as --out, benchmark_results without one.
set -eu
cd "$(dirname "$0")/.."
. benchmarks/environment.sh
use_environment test
exec "$PYTHON" -m benchmarks.gpu "$@"
