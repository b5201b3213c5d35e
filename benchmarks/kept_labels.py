"""How good the pseudo labels are that a method trains on; for the report, no method sees it."""

from typing import Any

from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor, nn

from dmsrl_adapt import keys


class KeptLabels:
    """Counts the labels that an adapter's labeller gives to target batches, from one look to the next.

    adapter: with a labeller in `misc` under the key of `dmsrl_adapt`, else there is nothing to count.
    truth: labels of the target's training part, int64 (N,), None where nobody knows them.
    """

    def __init__(self, adapter: BaseAdapter, truth: Tensor | None) -> None:
        self.truth = truth
        self.labeler = adapter.misc.get(keys.PSEUDO_LABELER)
        self.seen = self.kept = self.right = 0
        if self.labeler is not None:
            self.labeler.register_forward_hook(self.count, with_kwargs=True)

    def count(self, labeler: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Called by torch after the labeller has labelled a batch."""
        labels, rows = output.labels.cpu(), kwargs["sample_idx"].cpu()
        self.seen += len(labels)
        self.kept += int((labels >= 0).sum())
        if self.truth is not None:
            self.right += int((labels == self.truth[rows]).sum())

    def look(self) -> dict[str, Any]:
        """Returns the share of labels kept and the accuracy of these, 0..1, since the last look; an accuracy of None
        where none was kept or nobody knows the truth. Empty for a method without a labeller."""
        seen, kept, right = self.seen, self.kept, self.right
        self.seen = self.kept = self.right = 0
        if self.labeler is None or not seen:
            return {}
        accuracy = right / kept if kept and self.truth is not None else None
        return {"pseudo_labels": {"kept": kept / seen, "accuracy": accuracy}}
