import pytest
import torch

from dmsrl_adapt.training import TrainingProgress


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
