"""Ctrl-C and a full disk: the command says so, what was finished is kept, and the same command goes on."""

import json
import os
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.cli import main

from ..scripts import finish, start


def command(data: Path, folder: Path, *others: str) -> list[str]:
    sides = ["--source", str(data), "--target", str(data)]
    return ["run", *sides, "--methods", "source_only,mcc", "--seeds", "0", "--out", str(folder), *others]


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Waits until a file is there or the process has ended."""
    deadline = time.monotonic() + 240
    while not any(folder.glob(pattern)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def interrupt(process: subprocess.Popen[str]) -> str:
    """Sends what Ctrl-C in a terminal sends to all processes of a command, waits for all; gives what is said."""
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=300)[1]
    deadline = time.monotonic() + 300
    with pytest.raises(ProcessLookupError):  # of its group none is left
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    return errors


def test_finished_results_survive_ctrl_c_and_the_same_command_goes_on(feature_npz: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    arguments = command(feature_npz, folder, "--steps", "300", "--jobs", "1")
    assert main([*arguments, "--methods", "source_only"]) == 0
    (of_source_only,) = folder.glob("vectors-vectors-*__source_only__seed0.json")
    finished = of_source_only.read_bytes()
    process = start("-m", "benchmarks", *arguments, "--jobs", "2", start_new_session=True)
    wait_for(process, folder, "*mcc*.checkpoints/*.pt")
    errors = interrupt(process)
    assert process.returncode == 130 and errors.count("Traceback") == 0, errors
    assert errors.rstrip().endswith("interrupted; what was finished is kept"), errors
    assert [path.read_bytes() for path in folder.glob("*__seed0.json")] == [finished]
    assert main(arguments) == 0
    assert len(list(folder.glob("*__seed0.json"))) == 2 and not list(folder.glob("*.checkpoints"))
    assert finished == of_source_only.read_bytes()


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.5])
def test_ctrl_c_while_the_command_starts(seconds: float, feature_npz: Path, tmp_path: Path) -> None:
    process = start("-m", "benchmarks", *command(feature_npz, tmp_path / "results"), start_new_session=True)
    time.sleep(seconds)
    errors = interrupt(process)
    # 1 where a busy machine has not even started the interpreter
    is_early = process.returncode == 1 and "Fatal Python error: init" in errors
    assert process.returncode in (130, -signal.SIGINT) or is_early, errors
    assert not list(tmp_path.glob("results/*.json"))


def test_full_disk_is_an_error_of_that_run_and_finished_results_stay(feature_npz: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    arguments = command(feature_npz, folder, "--jobs", "1", "--steps", "16")
    assert main([*arguments, "--methods", "source_only"]) == 0
    before = {path: path.read_bytes() for path in folder.glob("*seed0.*")}

    process = start("-m", "benchmarks", *arguments)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4000, 4000))
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 2, errors  # there is no room for the report either
    assert re.search(r"failed: vectors-vectors-\w{8} mcc seed 0: OSError: ", errors) and "cannot be written: " in errors
    assert "error: [Errno 27]" in errors
    assert {path: path.read_bytes() for path in folder.glob("*seed0.*") if path.is_file()} == before
    assert main(arguments) == 0
    assert len(list(folder.glob("*__seed0.json"))) == 2


def test_the_same_command_gives_the_same_whatever_the_order_of_pythons_sets_is(
    feature_npz: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / str(seed) for seed in (0, 1, 2)]
    processes = []
    for seed, folder in enumerate(folders):
        arguments = command(feature_npz, folder, "--jobs", "1", "--steps", "16", "--methods", "dmsrl,atdoc,dann")
        processes.append(start("-m", "benchmarks", *arguments, PYTHONHASHSEED=str(seed)))
    for process in processes:
        finish(process)
    told = [
        [
            (one["curve"], one["confusion"])
            for one in map(json.loads, map(Path.read_text, sorted(folder.glob("*.json"))))
        ]
        for folder in folders
    ]
    assert len(told[0]) == 3 and told[0] == told[1] == told[2]
