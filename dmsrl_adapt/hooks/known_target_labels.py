"""Hook: known labels of target samples, for semi-supervised adaptation."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..checks import check_labels
from .context import read

MOST = torch.iinfo(torch.int64).max


class KnownTargetLabelsHook(BaseHook):
    """Copies `target_labels` to `target_known_labels`, which later hooks train with. Put it in `pre=[...]`.

    No other hook of this package reads `target_labels`, because a data set may have them for scoring only. In a batch
    without `target_labels` no class is known: all labels are -1.

    Modules: none. Reads: `target_imgs`; `target_labels` where present, int (N,), 0..K-1 or -1 where the class is not
    known, as upstream's `TargetDataset(..., supervised=True)` gives them. Writes: `target_known_labels`, int64 (N,). No
    losses.

    Raises:
        ValueError: labels of another number than target images, or below -1.
        TypeError: labels that are not integers.

    Examples:
        >>> batch = {"target_imgs": torch.zeros(3, 4), "target_labels": torch.tensor([-1, 1, -1])}
        >>> KnownTargetLabelsHook()(batch)[0]
        {'target_known_labels': tensor([-1,  1, -1])}
    """

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        images = read(self, inputs, keys.imgs(keys.TARGET))
        nothing = torch.full((len(images),), -1, device=images.device)
        labels = inputs.get(keys.TARGET_LABELS, nothing)
        labels = check_labels(labels, len(images), MOST, lowest=-1, name=keys.TARGET_LABELS)
        return {keys.TARGET_KNOWN_LABELS: labels}, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [keys.TARGET_KNOWN_LABELS]


def read_known_labels(inputs: Mapping[str, Any], size: int, num_classes: int = MOST) -> Tensor | None:
    """Returns the known classes of the target batch, int64 (N,), -1 where the class is not known.

    Returns None without `target_known_labels`. Raises as `check_labels` does unless they are integers of shape (size,),
    -1..num_classes-1.
    """
    if keys.TARGET_KNOWN_LABELS not in inputs:
        return None
    name = keys.TARGET_LABELS  # the key that the user knows
    return check_labels(inputs[keys.TARGET_KNOWN_LABELS], size, num_classes, lowest=-1, name=name)
