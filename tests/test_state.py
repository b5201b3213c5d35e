import pytest
import torch
from torch import nn

from dmsrl_adapt.state import restored_on_error, set_rows, set_state


class Counters(nn.Module):
    """Two buffers, one of them of integers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("means", torch.zeros(3, 2))
        self.register_buffer("labels", torch.full((4,), -1, dtype=torch.int32))


def changed(module):
    set_state(module, "means", module.means + 1)
    old = set_rows(module.means, torch.full((2, 2), 5.0), torch.tensor([2, 0]))
    set_rows(module.labels, torch.tensor([5.0]), torch.tensor([1]))
    return old


def test_sets_a_buffer_or_rows_of_it():
    module = Counters()
    assert changed(module).tolist() == [[1, 1], [1, 1]]
    assert module.means.tolist() == [[5, 5], [1, 1], [5, 5]]
    assert (module.labels.tolist(), module.labels.dtype) == ([-1, 5, -1, -1], torch.int32)
    assert list(module.state_dict()) == ["means", "labels"]


def test_an_error_restores_what_was_set_in_the_block_alone():
    module = Counters()
    changed(module)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with pytest.raises(RuntimeError, match="lost"), restored_on_error():
        changed(module)
        changed(module)
        raise RuntimeError("lost")
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())


def test_without_an_error_changes_stay_and_are_not_kept_for_later():
    module = Counters()
    with restored_on_error():
        changed(module)
    with pytest.raises(RuntimeError), restored_on_error():
        raise RuntimeError
    assert module.means[1].tolist() == [1, 1]


def test_what_inference_mode_has_set_can_be_loaded_and_changed_outside():
    module = Counters()
    with torch.inference_mode():
        changed(module)
    module.load_state_dict(Counters().state_dict())
    assert not module.means.any()
