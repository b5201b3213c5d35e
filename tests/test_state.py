import pytest
import torch

from dmsrl_adapt.state import restored_on_error, set_state


def changed(buffer, count, labels):
    set_state(buffer, torch.ones(3, 2))
    set_state(buffer, torch.full((2, 2), 2.0), torch.tensor([2, 0]))
    set_state(count, count + 1)
    set_state(labels, torch.tensor([5.0]), torch.tensor([1]))


def make():
    return torch.zeros(3, 2), torch.zeros(()), torch.full((4,), -1, dtype=torch.int32)


def test_sets_a_buffer_or_rows_of_it():
    buffer, count, labels = make()
    changed(buffer, count, labels)
    assert buffer.tolist() == [[2, 2], [1, 1], [2, 2]]
    assert (count, labels.tolist(), labels.dtype) == (1, [-1, 5, -1, -1], torch.int32)


def test_an_error_restores_what_was_set_in_the_block_alone():
    tensors = make()
    changed(*tensors)
    before = [tensor.clone() for tensor in tensors]
    with pytest.raises(RuntimeError, match="lost"), restored_on_error():
        changed(*tensors)
        changed(*tensors)
        raise RuntimeError("lost")
    assert all(torch.equal(*pair) for pair in zip(tensors, before, strict=True))


def test_without_an_error_changes_stay_and_are_not_kept_for_later():
    buffer, count, labels = make()
    with restored_on_error():
        changed(buffer, count, labels)
    with pytest.raises(RuntimeError), restored_on_error():
        raise RuntimeError
    assert count == 1
