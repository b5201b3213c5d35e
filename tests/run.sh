#!/bin/sh
# Runs the tests in a virtual environment of the project's, or in the one that is active; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
. benchmarks/environment.sh
use_environment test
exec "$PYTHON" -m pytest "$@"
