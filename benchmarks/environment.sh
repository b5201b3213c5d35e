# To be sourced at the repository's root by POSIX sh. After `use_environment EXTRA`, $PYTHON is a Python that has the
# project and that extra: of the virtual environment that is active, else of .venv, which is made where it is missing
# and finished where its making was interrupted.

fail() {
    echo "error: $*" >&2
    exit 1
}

use_environment() {
    PYTHON=${PYTHON:-python3}
    if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
        check_python "set PYTHON to a newer one"
    else
        if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
            check_python "set PYTHON to a newer one"
            "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
                fail "'$PYTHON' cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
            "$PYTHON" -m venv .venv
        fi
        PYTHON=$PWD/.venv/bin/python
        check_python "remove the folder .venv and set PYTHON to a newer one"
    fi
    # one stamp for each extra, so that a second run does not ask the package index again
    stamp=$("$PYTHON" -c 'import sys; print(sys.prefix)')/.dmsrl_adapt-$1
    if ! cmp -s setup.cfg "$stamp"; then
        echo "Installing dmsrl_adapt[$1] and what it needs (with PyTorch some GB, a few minutes) ..."
        "$PYTHON" -m pip install --quiet --disable-pip-version-check --editable ".[$1]"
        cp setup.cfg "$stamp"
    fi
}

check_python() {
    command -v "$PYTHON" >/dev/null || fail "no '$PYTHON' found; install Python 3.10 or newer, or set PYTHON to it"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "Python 3.10 or newer is needed, '$PYTHON' is $("$PYTHON" -V 2>&1); $1"
}
