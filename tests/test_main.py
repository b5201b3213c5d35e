"""What `python -m dmsrl_adapt` tells."""

import importlib.metadata

import torch

from dmsrl_adapt import __main__ as command
from dmsrl_adapt import __version__


def test_versions_faiss_and_devices_are_told(capsys):
    assert command.main([]) == 0
    told = capsys.readouterr().out
    assert f"dmsrl_adapt {__version__}\n" in told
    assert f"torch {importlib.metadata.version('torch')}\n" in told
    assert "GPUs that torch sees: " + ("none" if not torch.cuda.is_available() else "") in told
    assert "\nfaiss " in told


def test_version_alone(capsys):
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_missing_packages_are_no_failure(monkeypatch):
    def no_faiss():
        raise ImportError("Nearest prototype search needs FAISS")

    monkeypatch.setattr(command, "load_faiss", no_faiss)
    monkeypatch.setattr(command, "PACKAGES", ("no-such-package",))
    assert "no-such-package is not installed" in command.report()
    assert command.report().endswith("faiss: Nearest prototype search needs FAISS")


def test_other_arguments_are_refused(capsys):
    assert command.main(["--help", "me"]) == 2
    assert "usage: python -m dmsrl_adapt [--version], got --help me" in capsys.readouterr().err
