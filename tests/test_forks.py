"""What runs in a fork has its own arguments, folder and modules, and is told where it fails."""

import pytest


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
