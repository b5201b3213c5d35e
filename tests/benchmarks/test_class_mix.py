"""Pseudo labels where the target's classes are mixed 20 : 1, with the labeller's mend for it and without."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.methods import Setup, get_method
from benchmarks.tasks import DataPlace, load_task
from benchmarks.training import batches, infer
from dmsrl_adapt import PrototypeLabeler

from ..stand_ins import OneThreshold


def kept_and_right(labeler: PrototypeLabeler, truth: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Share of each class's samples that have a label, and that have the right one."""
    classes = [truth == k for k in range(labeler.num_classes)]
    kept = [(labeler.labels[members] >= 0).float().mean().item() for members in classes]
    right = [(labeler.labels[members] == truth[members]).float().mean().item() for members in classes]
    return np.array(kept), np.array(right)


@pytest.mark.parametrize("seed", [0, 1])
def test_rare_classes_keep_samples_and_labels_are_no_worse(data_dir: Path, seed: int) -> None:
    task = load_task("mnist-usps-skewed", DataPlace(data_dir))
    torch.manual_seed(seed)
    setup = Setup(tuple(task.source.inputs.shape[1:]), 10, len(task.target_train), steps=400)
    adapter = get_method("source_only").build(setup, {}).adapter
    for _, batch in zip(range(150), batches(task, 64, False, seed), strict=False):
        adapter.training_step(batch)
    source, target = infer(adapter, task.source.inputs[:8000], 0), infer(adapter, task.target_train.inputs, 1)
    truth, idx = task.target_train.known_labels, torch.arange(len(task.target_train))
    kept, right = {}, {}
    for labeler_class in (PrototypeLabeler, OneThreshold):
        labeler = labeler_class(10, source["features"].shape[1], len(idx), threshold=1.0)
        labeler.fit(source["features"], task.source.known_labels[:8000])
        for _ in range(8):
            # every round learns from its own labels of the target alone: what swamps others does it here
            labeler.relabel([(target["features"], idx)])
            labeler.fit(target["features"], labeler.labels, labeler.weights)
        kept[labeler_class], _ = kept_and_right(labeler, truth)
        labeler.threshold = 0.0
        labeler.relabel([(target["features"], idx)])
        _, right[labeler_class] = kept_and_right(labeler, truth)
        print(labeler_class.__name__, "kept", kept[labeler_class].round(2), "right", right[labeler_class].round(2))
    assert kept[PrototypeLabeler].min() > kept[OneThreshold].min()
    assert right[PrototypeLabeler].mean() > right[OneThreshold].mean() - 0.01
