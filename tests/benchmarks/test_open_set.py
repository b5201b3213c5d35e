"""Rejection of classes that the source lacks."""

import torch

from benchmarks.methods import get_method
from benchmarks.open_set import class_probs_of, open_task, row
from benchmarks.tasks import Split, Task


def test_row_is_the_one_worked_out_by_hand():
    """Of two unknown samples one is doubtful; of four known ones one is wrong and one doubtful."""
    sure, other, doubtful = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
    probs = torch.tensor([sure, sure, other, doubtful, sure, doubtful])
    labels = torch.tensor([0, 0, 0, 0, 2, 3])
    right, area, *shares = row(probs, labels)
    # pairs of a known and an unknown sample: 3 x 1 right, 3 x 1 and 1 x 1 equal, 1 x 1 wrong
    assert (right, area) == ("75.0", f"{100 * (3 + 4 / 2) / 8:.1f}")
    assert shares == ["50 / 75"] * 3


def test_source_without_the_unknown_classes_trains_a_classifier_of_the_others():
    labels = torch.arange(40) % 10
    images = (25 * labels[:, None, None, None] + torch.zeros(40, 3, 20, 20)).to(torch.uint8)
    split = Split(images, labels)
    task = open_task(Task("digits", tuple("0123456789"), split, split, split, split))
    assert task.classes == tuple("0123456")
    assert set(task.source.known_labels.tolist()) == set(range(7))
    assert task.target_train is split
    probs = class_probs_of(task, get_method("source_only"), seed=0, steps=2)
    assert probs.shape == (40, 7)
    torch.testing.assert_close(probs.sum(1), torch.ones(40))
