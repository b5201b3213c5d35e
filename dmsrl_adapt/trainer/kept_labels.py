"""Quality of pseudo labels during training, for reports only."""

from collections.abc import Callable
from functools import partial
from typing import Any

from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor, nn

from .. import keys
from ..labelers.pseudo_labels import PseudoLabels


class KeptLabels:
    """Counts pseudo labels of target batches and how many are correct, between two calls of `look`.

    adapter: counts only if it has a labeler in `misc`, under the key of `dmsrl_adapt`.
    truth: labels of the target's training part, int64 (N,), or None if unknown.
    """

    def __init__(self, adapter: BaseAdapter, truth: Tensor | None) -> None:
        self.truth = truth
        self.labeler = adapter.misc.get(keys.PSEUDO_LABELER)
        self.seen = self.kept = self.correct = 0
        if self.labeler is not None:
            # a recipe labels by `step`, which no forward hook sees, or with prototypes of the target by a call
            self.labeler.step = partial(self.step, self.labeler.step)
            self.labeler.register_forward_hook(self.on_call, with_kwargs=True)

    def step(self, label: Callable[..., PseudoLabels], *args: Any) -> PseudoLabels:
        """Labels a batch by the labeler's own `step` and counts the labels."""
        found = label(*args)
        self.count(found.labels, args[3])
        return found

    def on_call(self, labeler: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: PseudoLabels) -> None:
        """Counts a batch labelled by a call with `sample_idx`; a forward hook of the labeler."""
        if kwargs.get("sample_idx") is not None:
            self.count(output.labels, kwargs["sample_idx"])

    def count(self, labels: Tensor, sample_idx: Tensor) -> None:
        """Counts a batch."""
        labels, rows = labels.cpu(), sample_idx.cpu()
        self.seen += len(labels)
        self.kept += int((labels >= 0).sum())
        if self.truth is not None:
            self.correct += int((labels == self.truth[rows]).sum())

    def look(self) -> dict[str, Any]:
        """Returns the fraction of samples with a label and their accuracy, 0..1, since the last call.

        The accuracy is None without labels or truth. {} for a method without a labeler.
        """
        seen, kept, correct = self.seen, self.kept, self.correct
        self.seen = self.kept = self.correct = 0
        if self.labeler is None or not seen:
            return {}
        accuracy = correct / kept if kept and self.truth is not None else None
        return {"pseudo_labels": {"kept": kept / seen, "accuracy": accuracy}}
