import copy
import math
import pickle
import warnings

import pytest
import torch
from torch import nn

from dmsrl_adapt.training import TrainingProgress, WarmUp


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_factors_are_the_published_ones(progress):
    assert WarmUp.NONE(progress) == 1
    assert WarmUp.LINEAR(progress) == progress
    assert WarmUp.SIGMOID(progress) == pytest.approx(2 / (1 + math.exp(-10 * progress)) - 1)


def test_a_name_is_as_good_as_a_member():
    assert WarmUp("sigmoid") is WarmUp(WarmUp.SIGMOID) is WarmUp.SIGMOID
    assert WarmUp.LINEAR == "linear"
    with pytest.raises(ValueError, match=r"warmup must be one of \['none', 'linear', 'sigmoid'\], got True"):
        WarmUp(True)


def test_counts_steps_up_to_one():
    progress = TrainingProgress(total_steps=4)
    values = []
    for _ in range(6):
        values.append(progress())
        progress.advance()
    assert values == [0, 0.25, 0.5, 0.75, 1, 1]


def test_whoever_says_nothing_gets_1000_steps():
    progress = TrainingProgress()
    assert not progress.is_given
    assert TrainingProgress(7).is_given
    progress.advance()
    assert progress() == 0.001


def test_length_can_be_set_later():
    progress = TrainingProgress()
    progress.advance()
    progress.set_total_steps(10)
    assert progress() == 0.1


def test_state_dict_round_trip_goes_on_where_it_was():
    progress, fresh = TrainingProgress(8), TrainingProgress()
    progress.advance()
    progress.advance()
    fresh.load_state_dict(progress.state_dict())
    assert fresh() == 0.25
    assert all(isinstance(value, torch.Tensor) for value in progress.state_dict().values())


@pytest.mark.parametrize("total_steps", [0, -3])
def test_lengths_below_one_are_refused(total_steps):
    with pytest.raises(ValueError, match=f"total_steps must be at least 1, got {total_steps}"):
        TrainingProgress(total_steps)
    progress = TrainingProgress(5)
    with pytest.raises(ValueError, match=f"total_steps must be at least 1, got {total_steps}"):
        progress.set_total_steps(total_steps)
    assert progress.total_steps == 5


def advanced(progress, steps):
    for _ in range(steps):
        progress()
        progress.advance()
    return progress


def load_alone(progress, state):
    progress.load_state_dict(state)


def load_inside(progress, state):
    nn.ModuleDict({"misc": progress}).load_state_dict({f"misc.{key}": value for key, value in state.items()})


def load_assigned(progress, state):
    progress.load_state_dict(state, assign=True)


@pytest.mark.parametrize("load", [load_alone, load_inside, load_assigned])
@pytest.mark.parametrize("length", [5000, 3])
def test_a_given_length_wins_over_that_of_a_checkpoint(load, length):
    state = advanced(TrainingProgress(4), 2).state_dict()
    progress = TrainingProgress(length)
    load(progress, state)
    assert (progress.step, progress.total_steps, progress()) == (2, length, 2 / length)
    progress.advance()
    assert (progress.step, progress.total_steps) == (3, length)


@pytest.mark.parametrize("load", [load_alone, load_inside, load_assigned])
@pytest.mark.parametrize("set_length", ["set_total_steps", "propose_total_steps"])
def test_a_length_that_was_set_later_wins_too(load, set_length):
    progress = TrainingProgress()
    getattr(progress, set_length)(8)
    for other in (progress, copy.deepcopy(progress), pickle.loads(pickle.dumps(progress))):
        load(other, advanced(TrainingProgress(4), 2).state_dict())
        assert (other.step, other.total_steps) == (2, 8)


def test_without_a_length_that_of_a_checkpoint_is_taken_until_one_is_set():
    progress = TrainingProgress()
    progress.load_state_dict(advanced(TrainingProgress(4), 2).state_dict())
    assert progress() == 0.5
    progress.propose_total_steps(8)
    assert progress() == 0.25


def test_a_proposed_length_gives_way_to_a_given_one_only():
    progress, given, later = TrainingProgress(), TrainingProgress(7), TrainingProgress()
    later.set_total_steps(9)
    for one in (progress, given, later):
        one.propose_total_steps(5)
        one.propose_total_steps(6)
    assert [one.total_steps for one in (progress, given, later)] == [6, 7, 9]


def test_a_checkpoint_that_lacks_the_length_is_refused():
    with pytest.raises(RuntimeError, match=r"Missing key.*total_steps"):
        TrainingProgress(5).load_state_dict({"step": torch.tensor(3)})


DEFAULTED = (
    r"TrainingProgress has no length and defaults to 1,000 steps, which are over: warm-ups stay at full strength\. "
    r"Pass total_steps=\.\.\."
)


def test_the_default_length_warns_once_when_it_is_overrun():
    progress = TrainingProgress()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advanced(progress, 1000)
    with pytest.warns(UserWarning, match=DEFAULTED) as caught:
        advanced(progress, 5)
    assert len(caught) == 1
    assert progress() == 1.0


def test_a_loaded_length_warns_once_when_it_is_overrun():
    progress = TrainingProgress()
    progress.load_state_dict(TrainingProgress(4).state_dict())
    expected = "TrainingProgress has no length but the 4 steps of its checkpoint, which are over: warm-ups stay at full"
    with pytest.warns(UserWarning, match=expected) as caught:
        advanced(progress, 5)
    assert len(caught) == 1


def test_progress_that_was_loaded_past_the_default_length_warns():
    progress = TrainingProgress()
    progress.load_state_dict({"step": torch.tensor(1500), "total_steps": torch.tensor(1000)})
    with pytest.warns(UserWarning, match=DEFAULTED):
        assert progress() == 1.0


@pytest.mark.parametrize("set_length", ["given", "set_total_steps", "propose_total_steps"])
def test_a_known_length_does_not_warn_when_it_is_overrun(set_length):
    progress = TrainingProgress(1000 if set_length == "given" else None)
    if set_length != "given":
        getattr(progress, set_length)(1000)
    progress.step = 998
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advanced(progress, 5)


@pytest.mark.parametrize("load", [load_alone, load_inside, load_assigned])
@pytest.mark.parametrize(("length", "expected"), [(None, 4), (3, 3)])
def test_checkpoints_of_before_held_two_buffers(load, length, expected):
    progress = TrainingProgress(length)
    load(progress, {"step": torch.tensor(2), "total_steps": torch.tensor(4)})
    assert (progress.step, progress.total_steps) == (2, expected)
