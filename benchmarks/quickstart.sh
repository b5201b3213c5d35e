#!/bin/sh
# Installs what the benchmark needs and runs it; arguments go to `python -m benchmarks run`.
set -eu
cd "$(dirname "$0")/.."
. benchmarks/environment.sh
use_environment bench
exec "$PYTHON" -m benchmarks run "$@"
