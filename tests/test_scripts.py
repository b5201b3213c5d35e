"""The shell scripts of the README, run with a stand-in for Python that keeps a diary and installs nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .scripts import ROOT


def test_a_script_is_run_as_python_runs_it(forks, tmp_path):
    (tmp_path / "beside.py").write_text("told = 'from beside'\n")
    lines = ["import os, sys, beside", "print(__name__, sys.argv, os.getcwd(), beside.told)", "open('made', 'w')"]
    (tmp_path / "script.py").write_text("\n".join(lines))
    assert forks.finish("script.py", "a b", cwd=tmp_path) == f"__main__ ['script.py', 'a b'] {tmp_path} from beside\n"
    assert (tmp_path / "made").exists()


def test_no_run_sees_what_the_one_before_it_did(forks, tmp_path):
    (tmp_path / "script.py").write_text("import torch\nprint(hasattr(torch, 'left'))\ntorch.left = 1\n")
    assert [forks.finish("script.py", cwd=tmp_path) for _ in range(2)] == ["False\n"] * 2


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("print('so far')\nraise ValueError('too much')", 1, "so far\n(.|\n)*ValueError: too much"),
        ("import sys\nsys.exit(3)", 3, ""),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("missing_name", 1, "NameError"),
    ],
)
def test_a_run_that_fails_is_told_and_the_next_one_runs(code, status, told, forks, tmp_path):
    (tmp_path / "script.py").write_text(code)
    with pytest.raises(AssertionError, match=f"exit status {status} of .*script.py(.|\n)*{told}"):
        forks.finish("script.py", cwd=tmp_path)
    (tmp_path / "script.py").write_text("print('well')")
    assert forks.finish("script.py", cwd=tmp_path) == "well\n"


SCRIPTS = {"benchmarks/quickstart.sh": ("bench", "-m benchmarks run"), "tests/run.sh": ("test", "-m pytest")}
SHELL = shutil.which("dash") or shutil.which("sh")
if SHELL is None or os.name == "nt":
    pytest.skip("needs a POSIX shell", allow_module_level=True)

# a Python whose version, whose venv module and whose index answer as the files beside its diary say
STAND_IN = """#!/bin/sh
echo "$0 $*" >>"$DIARY/calls"
case "$*" in
*version_info*) [ ! -e "$DIARY/old" ] ;;
-V) echo "Python 3.8.10" ;;
*"import pip"*) [ ! -e "$DIARY/unfinished" ] ;;
*ensurepip*) [ ! -e "$DIARY/no-venv" ] ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && rm -f "$DIARY/unfinished" ;;
*sys.prefix*) cd "$(dirname "$0")/.." && pwd ;;
*"pip install"*) [ ! -e "$DIARY/offline" ] ;;
esac
"""


class Clone:
    """A clone of the scripts with the stand-in as the only Python."""

    def __init__(self, folder: Path) -> None:
        self.root, self.diary, self.bin = folder / "a clone", folder / "diary", folder / "stand-in" / "bin"
        for path in (*SCRIPTS, "benchmarks/environment.sh", "setup.cfg"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, self.root / path)
        self.diary.mkdir()
        self.bin.mkdir(parents=True)
        for tool in ("cat", "cmp", "cp", "dirname", "mkdir", "rm"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.python = self.bin / "python3"
        self.python.write_text(STAND_IN.replace("/bin/sh", str(SHELL)))
        self.python.chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "DIARY": str(self.diary), **environment}
        command = [str(SHELL), str(self.root / script), *arguments]
        return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60)

    def is_set(self, name: str) -> None:
        (self.diary / name).touch()

    def calls(self) -> str:
        path = self.diary / "calls"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_makes_an_environment_installs_once_and_passes_arguments_on(clone: Clone, script: str) -> None:
    extra, command = SCRIPTS[script]
    first, second = clone.run(script, "--one", "a b"), clone.run(script)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Installing" in first.stdout and second.stdout == ""
    python = clone.root / ".venv" / "bin" / "python"
    assert clone.calls().count("-m venv") == 1
    assert clone.calls().count(f"{python} -m pip install") == clone.calls().count(f"--editable .[{extra}]") == 1
    assert f"{python} {command} --one a b\n" in clone.calls()
    assert clone.calls().endswith(f"{python} {command}\n")
    (clone.root / "setup.cfg").write_text("[metadata]\nname = changed\n")
    assert "Installing" in clone.run(script).stdout


def test_an_active_environment_is_used_and_none_is_made(clone: Clone) -> None:
    assert clone.run("tests/run.sh", VIRTUAL_ENV="/somewhere").returncode == 0
    assert "-m venv" not in clone.calls()
    assert clone.calls().endswith(f"{clone.python} -m pytest\n")
    assert not (clone.root / ".venv").exists()


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("old", "error: Python 3.10 or newer is needed, 'python3' is Python 3.8.10; set PYTHON to a newer one\n"),
        ("no-venv", "error: 'python3' cannot make virtual environments; on Debian and Ubuntu: apt-get install"),
        ("none", "error: no 'python3' found; install Python 3.10 or newer, or set PYTHON to it\n"),
    ],
)
def test_an_unfit_python_is_one_clear_error(clone: Clone, script: str, trouble: str, message: str) -> None:
    clone.is_set(trouble)
    if trouble == "none":
        clone.python.unlink()
    done = clone.run(script)
    assert done.returncode == 1
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not (clone.root / ".venv").exists()
    assert "pip" not in clone.calls().replace("ensurepip", "")


def test_another_python_can_be_named(clone: Clone) -> None:
    other = clone.python.rename(clone.bin / "python3.12")
    assert clone.run("tests/run.sh", PYTHON="python3.12").returncode == 0
    assert f"{other} -m venv" in clone.calls()


def test_goes_on_where_an_earlier_run_was_interrupted(clone: Clone) -> None:
    clone.is_set("offline")
    assert clone.run("tests/run.sh").returncode == 1
    (clone.diary / "offline").unlink()
    clone.is_set("unfinished")
    assert "Installing" in clone.run("tests/run.sh").stdout
    assert clone.calls().count("-m venv") == 2
    assert clone.calls().endswith("-m pytest\n")


def test_an_environment_of_an_old_python_says_what_to_do(clone: Clone) -> None:
    assert clone.run("tests/run.sh").returncode == 0
    clone.is_set("old")
    assert "remove the folder .venv and set PYTHON to a newer one" in clone.run("tests/run.sh").stderr


def test_once_made_the_environment_is_enough(clone: Clone) -> None:
    assert clone.run("tests/run.sh").returncode == 0
    clone.python.unlink()
    assert clone.run("tests/run.sh").returncode == 0
