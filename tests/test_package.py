"""What the package and `dmsrl-adapt env` tell."""

import configparser
import importlib.metadata
import re

import pytest
import torch

import dmsrl_adapt
from dmsrl_adapt import __version__
from dmsrl_adapt.cli import main
from dmsrl_adapt.commands import env

from .scripts import ROOT, finish, start


def test_versions_faiss_and_devices_are_told(capsys):
    assert main(["env"]) == 0
    told = capsys.readouterr().out
    assert f"dmsrl_adapt {__version__}\n" in told
    assert f"torch {importlib.metadata.version('torch')}\n" in told
    assert "GPUs that torch sees: " + ("none" if not torch.cuda.is_available() else "") in told
    assert "\nfaiss " in told


def test_version_alone(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"


def test_missing_packages_are_no_failure(monkeypatch):
    def no_faiss():
        raise ImportError("Nearest prototype search needs FAISS")

    monkeypatch.setattr(env, "load_faiss", no_faiss)
    monkeypatch.setattr(env, "PACKAGES", ("no-such-package",))
    assert "no-such-package is not installed" in env.report()
    assert env.report().endswith("faiss: Nearest prototype search needs FAISS")


def test_unknown_commands_are_one_error(capsys):
    for arguments in ([], ["help", "me"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "usage: dmsrl-adapt" in capsys.readouterr().err


PUBLIC = [
    "DMSRL",
    "DMSRLHook",
    "MarginDisparityHook",
    "MarginMetricHook",
    "MIMinimizationHook",
    "PseudoLabelHook",
    "LevelFeaturesHook",
    "MultiLevelBackbone",
    "PrototypeLabeler",
    "MarginMetricLoss",
    "dmsrl_components",
]
IMPORT_SHARE = """
import gc, time
start = time.perf_counter()
import pytorch_adapt.hooks, timm
gc.freeze()  # no collection of their objects falls into the time of ours
base = time.perf_counter()
import dmsrl_adapt
print((time.perf_counter() - base) / (base - start))
"""
QUIET_IMPORT = """
import pathlib, warnings, torch, pytorch_adapt.hooks, timm

def settings():
    return torch.get_rng_state().tolist(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()

before = settings()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import dmsrl_adapt
folder = pathlib.Path(dmsrl_adapt.__file__).parent
print([str(one.message) for one in caught if folder in pathlib.Path(one.filename).parents], settings() == before)
"""


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_there(name):
    assert hasattr(dmsrl_adapt, name)
    assert name in dmsrl_adapt.__all__


ROOMS = [getattr(dmsrl_adapt, room) for room in ("losses", "labelers", "backbones", "augment", "training", "hooks")]


def test_every_name_in_all_is_there():
    assert all(hasattr(dmsrl_adapt, name) for name in dmsrl_adapt.__all__)


def test_every_public_class_and_function_says_what_it_is():
    objects = [getattr(dmsrl_adapt, name) for name in dmsrl_adapt.__all__ if name != "__version__"]
    assert all(len(one.__doc__ or "") > 40 for one in objects)


def test_every_hook_and_layer_has_an_example():
    """But those that only name what a layer gives back."""
    public = [getattr(part, name) for part in ROOMS for name in part.__all__]
    lacking = [one.__name__ for one in public if ">>> " not in one.__doc__ and not is_named_tuple(one)]
    assert lacking == ["face_landmarks"]  # which needs weights that another package brings


def test_examples_stand_under_the_heading_that_makes_code_of_them():
    """The site shows what is under another heading as text."""
    files = [*(ROOT / "dmsrl_adapt").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert [path.name for path in files if re.search(r"^ *Example:", path.read_text(), re.MULTILINE)] == []


def is_named_tuple(one):
    return isinstance(one, type) and issubclass(one, tuple)


def test_import_adds_at_most_a_twentieth_to_that_of_pytorch_adapt_and_timm():
    assert float(finish(start("-W", "ignore", "-c", IMPORT_SHARE))) <= 0.05


def test_import_warns_prints_and_changes_nothing():
    assert finish(start("-W", "ignore", "-c", QUIET_IMPORT)).strip() == "[] True"


def test_setup_cfg_takes_the_version_from_the_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["name"] == "dmsrl-adapt"
    assert config["metadata"]["version"] == "attr: dmsrl_adapt.version.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+|\.dev\d+)?", dmsrl_adapt.__version__)
    assert (ROOT / "dmsrl_adapt" / "py.typed").exists()


def test_losses_work_without_a_gpu():
    loss = dmsrl_adapt.MarginMetricLoss(3, 4)(torch.randn(2, 4), torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert loss.device.type == "cpu"


def test_citation_names_this_version():
    assert f"\nversion: {dmsrl_adapt.__version__}\n" in (ROOT / "CITATION.cff").read_text()
