import copy
import pickle
import random
import resource
from collections import Counter

import numpy as np
import pytest
import torch
from pytorch_adapt.containers import Optimizers
from pytorch_adapt.frameworks.ignite import Ignite
from pytorch_adapt.layers import NeighborhoodAggregation
from torch import nn

from dmsrl_adapt import DEFAULT, DMSRL, Checkpoints, attach_dmsrl, dmsrl_components
from dmsrl_adapt.frameworks.ignite import ResumableCheckpointFn
from dmsrl_adapt.training.checkpoints import modules_in, random_state, read_archive, set_random_state, stateful

from ..hooks.host_table import HOSTS, host_batch
from ..hooks.host_table import make_adapter as make_host
from ..resume_process import in_a_fork, make_adapter
from ..scripts import finish, start
from ..stand_ins import CLASSES, DIM, NUM_TARGET

TRIES = 10  # of each kind


def objects(seed=0):
    torch.manual_seed(seed)
    net = nn.Linear(2000, 3)
    return {"net": net, "opt": torch.optim.Adam(net.parameters())}


def train(some):
    some["net"](torch.randn(4, 2000)).square().sum().backward()
    some["opt"].step()
    return some


def weights(some):
    return some["net"].weight.clone()


@pytest.fixture
def saved(tmp_path):
    """Three checkpoints of a run, of which the first is removed, and the weights at the two that are left."""
    some, at = objects(), {}
    checkpoints = Checkpoints(tmp_path, some)
    for step in (1, 2, 10):
        train(some)
        checkpoints.save(step)
        at[step] = weights(some)
    return tmp_path, at


def test_runs_that_were_killed_end_as_the_one_that_was_not(tmp_path, forks):
    lines = forks.finish("-m", "tests.resume_process", str(tmp_path), str(TRIES), seconds=900)
    counts = Counter(lines.splitlines())
    assert sorted(line.split()[0] for line in counts) == ["ignite", "plain"]
    assert set(counts.values()) == {TRIES + 1}


def test_the_last_ones_are_kept_and_the_last_is_taken(saved):
    folder, at = saved
    assert sorted(path.name for path in folder.iterdir()) == ["step_00000002.pt", "step_00000010.pt"]
    fresh = objects(seed=1)
    assert Checkpoints(folder, fresh).resume() == 10
    assert torch.equal(weights(fresh), at[10])
    assert fresh["opt"].state_dict()["state"][0]["step"] == 3


def test_without_a_checkpoint_a_run_begins(tmp_path):
    assert Checkpoints(tmp_path / "missing", objects()).resume() == 0


def damaged(raw):
    """A file that was cut off at several places, one with other bits among the weights, one that is something else."""
    other = bytearray(raw)
    other[len(raw) // 2] ^= 1
    yield from (raw[:length] for length in (0, 3, 100, len(raw) // 2, len(raw) - 1))
    yield bytes(other)
    yield b"no checkpoint at all"


@pytest.mark.parametrize("number", range(7))
def test_damaged_checkpoint_is_told_and_the_one_before_it_used(saved, number):
    folder, at = saved
    last = folder / "step_00000010.pt"
    last.write_bytes(list(damaged(last.read_bytes()))[number])
    fresh = objects(seed=1)
    with pytest.warns(UserWarning, match=r"step_00000010\.pt cannot be read as a checkpoint: .*; the one before"):
        assert Checkpoints(folder, fresh).resume() == 2
    assert torch.equal(weights(fresh), at[2])


@pytest.mark.parametrize("content", [{"step": 10}, [], torch.zeros(3)])
def test_a_file_of_something_else_is_told_and_the_one_before_it_used(saved, content):
    folder, at = saved
    torch.save(content, folder / "step_00000010.pt")
    fresh = objects(seed=1)
    with pytest.warns(UserWarning, match="cannot be read as a checkpoint: it holds something else; the one before"):
        assert Checkpoints(folder, fresh).resume() == 2
    assert torch.equal(weights(fresh), at[2])


def test_what_cannot_be_read_is_told_with_its_kind_and_the_reason(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"model\.pt cannot be read as a model: File is not a zip file"):
        read_archive(path, "model")


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: torch.rand(()).item()])
def test_random_numbers_go_on_where_they_were(draw, tmp_path):
    checkpoints = Checkpoints(tmp_path, objects())
    draw()
    checkpoints.save(1)
    expected = [draw() for _ in range(3)]
    checkpoints.resume()
    assert [draw() for _ in range(3)] == expected


def test_random_numbers_of_gpus_go_on_where_the_gpus_are_there(monkeypatch):
    states, restored = [torch.zeros(3), torch.ones(3)], {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, number: restored.update({number: state}))
    saved = random_state()
    assert saved["cuda"] is states
    for count in (1, 2, 3):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        restored.clear()
        set_random_state(saved)
        assert restored == dict(enumerate(states[:count]))


def test_nothing_readable_is_an_error_that_changes_nothing(saved):
    folder, _ = saved
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:500])
    fresh = objects(seed=1)
    before, numbers = weights(fresh), torch.get_rng_state()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"one of \['step_00000002.pt', .* none is"):
        Checkpoints(folder, fresh).resume()
    assert torch.equal(weights(fresh), before) and torch.equal(torch.get_rng_state(), numbers)


def test_checkpoint_of_other_objects_changes_nothing(saved):
    folder, _ = saved
    others = {"net": nn.Linear(2000, 3), "opt": objects()["opt"]}
    others["opt"].add_param_group({"params": [nn.Parameter(torch.zeros(1))]})  # the network fits, the optimizer not
    before, numbers = copy.deepcopy(others["net"].state_dict()), torch.get_rng_state()
    with pytest.raises(ValueError, match="'opt' does not fit the checkpoint"):
        Checkpoints(folder, others).resume()
    assert torch.equal(others["net"].weight, before["weight"]) and torch.equal(torch.get_rng_state(), numbers)
    with pytest.raises(ValueError, match=r"must be of \['net'\], got one of \['net', 'opt'\]"):
        Checkpoints(folder, {"net": others["net"]}).resume()
    assert torch.equal(others["net"].weight, before["weight"])


def test_checkpoint_needs_no_pickle_and_no_package(tmp_path):
    adapter = make_adapter()
    Checkpoints(tmp_path, adapter).save(1)
    code = "import sys, torch; print(torch.load(sys.argv[1], weights_only=True)['step'])"
    assert finish(start("-c", code, str(tmp_path / "step_00000001.pt"))).strip() == "1"


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_checkpoint_does_not_run(saved, save):
    folder, at = saved
    save({"step": 10, "states": Evil(), "random": {}}, folder / "step_00000010.pt")
    fresh = objects(seed=1)
    with pytest.warns(UserWarning, match="cannot be read as a checkpoint"):
        assert Checkpoints(folder, fresh).resume() == 2
    assert torch.equal(weights(fresh), at[2])


def test_full_disk_is_an_error_and_the_checkpoints_before_stay(saved):
    folder, at = saved
    before = sorted(folder.iterdir())

    def save():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        with pytest.raises(OSError, match=r"step_00000011\.pt cannot be written: "):
            Checkpoints(folder, objects(seed=1)).save(11)

    assert in_a_fork(save) == 0
    assert sorted(folder.iterdir()) == before
    fresh = objects(seed=1)
    assert Checkpoints(folder, fresh).resume() == 10
    assert torch.equal(weights(fresh), at[10])


def test_interrupted_save_leaves_no_checkpoint(saved, monkeypatch):
    folder, _ = saved

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(folder, objects()).save(11)
    monkeypatch.undo()
    assert Checkpoints(folder, objects()).resume() == 10


def test_what_is_not_to_be_saved_is_refused(tmp_path):
    with pytest.raises(TypeError, match="'step' must have state_dict and load_state_dict, got int"):
        Checkpoints(tmp_path, {"step": 3})
    with pytest.raises(ValueError, match="objects must be at least one, got none"):
        Checkpoints(tmp_path, {})
    with pytest.raises(ValueError, match="kept must be at least 2, got 1"):
        Checkpoints(tmp_path, objects(), kept=1)


def test_optimizer_of_a_module_without_parameters_is_left_out(tmp_path):
    """Upstream has a stand-in for it, which has no state to give."""
    adapter = make_adapter()
    optimizers = Optimizers((torch.optim.Adam, {"lr": 1e-3}))
    optimizers.create_with({"G": nn.Flatten(), "C": nn.Linear(2, 2)})
    adapter.optimizers = optimizers
    Checkpoints(tmp_path, adapter).save(1)
    assert Checkpoints(tmp_path, adapter).resume() == 1


def atdoc(seed=0, is_attached=False):
    """An adapter whose hook holds a memory of the target that is in none of the containers."""
    adapter = make_host(HOSTS["Classifier with ATDOCHook"], seed=seed)
    return attach_dmsrl(adapter, dmsrl_components(DIM, CLASSES, NUM_TARGET)) if is_attached else adapter


def memory(adapter):
    (found,) = {module for _, module in modules_in(adapter.hook) if isinstance(module, NeighborhoodAggregation)}
    return found.feat_memory


@pytest.mark.parametrize("is_attached", [False, True])
def test_a_memory_in_a_hook_goes_on_too(is_attached, tmp_path):
    whole, resumed = atdoc(0, is_attached), atdoc(1, is_attached)
    whole.training_step(host_batch())
    Checkpoints(tmp_path, whole).save(1)
    wanted = whole.training_step(host_batch(seed=1))
    assert Checkpoints(tmp_path, resumed).resume() == 1
    assert resumed.training_step(host_batch(seed=1)) == wanted
    assert torch.equal(memory(resumed), memory(whole))


def test_a_memory_in_a_hook_goes_on_under_ignite(tmp_path):
    def run(name, epochs, seed=0):
        adapter, checkpoint_fn = atdoc(seed), ResumableCheckpointFn(tmp_path / name)
        trainer = Ignite(adapter, checkpoint_fn=checkpoint_fn, with_pbars=False)
        loaders = {"train": [host_batch(seed=5)]}  # some samples are never seen: only the checkpoint has them
        trainer.run(dataloaders=loaders, max_epochs=epochs, resume=checkpoint_fn.last())
        return adapter

    run("killed", 1)
    whole, resumed = run("whole", 2), run("killed", 2, seed=1)
    assert torch.equal(memory(resumed), memory(whole))
    assert torch.equal(resumed.models["G"][0].weight, whole.models["G"][0].weight)


def test_hooks_that_hold_no_state_add_nothing():
    assert set(stateful(make_adapter())) == {"models", "optimizers", "lr_schedulers", "misc", "recipe"}


def test_a_checkpoint_of_another_recipe_is_refused_by_the_settings_that_differ(tmp_path):
    def make(recipe):
        parts = dmsrl_components(8, 3, 20, recipe)
        return DMSRL.of(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3), parts)

    Checkpoints(tmp_path, make(DEFAULT)).save(1)
    other = make(DEFAULT.replace("margin", scale=64.0).replace("pseudo_labels", threshold=0.9))
    with pytest.raises(ValueError, match=r"another recipe: pseudo_labels.threshold = 0.5, not 0.9, margin.scale"):
        Checkpoints(tmp_path, other).resume()
    assert Checkpoints(tmp_path, make(DEFAULT)).resume() == 1
