"""Source accuracy above chance, over the last batches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..checks import check_features, check_fractions, check_labels, check_sizes, validated
from ..one_hot import members
from ..precision import PreciseBuffers
from ..processes import summed_over_processes
from ..state import set_state

LEAST = 1e-4  # expected disagreement; below it one class is nearly all, and there is nothing to tell


def cohen_kappa(counts: Sequence[float]) -> float:
    """Returns Cohen's kappa, negative values set to 0, of the `counts` of a `SourceAccuracy`, row after row.

    Examples:
        >>> cohen_kappa([1, 0, 2, 2, 1, 3])
        0.5
    """
    wrong, labelled, predicted = np.asarray(counts, dtype=np.float64).reshape(3, -1)
    total = labelled.sum()
    if total == 0 or len(labelled) == 1:
        return float(total > 0)
    # by disagreement, since 1 - e would lose its digits where one class is nearly all
    others = predicted @ (1 - np.eye(len(predicted)))
    expected = labelled / total @ (others / total)
    return float(max(1 - wrong.sum() / total / expected, 0.0)) if expected > LEAST else 0.0


class SourceAccuracy(PreciseBuffers):
    r"""Source accuracy above chance: Cohen's kappa over the last batches, 0..1.

    $$ \kappa = \frac{a - e}{1 - e}, \quad e = \sum_k p_k q_k $$

    a is the accuracy, and e the accuracy expected by chance, for labels with class frequencies p and predictions with
    class frequencies q. A network that always predicts the most frequent class therefore gets 0, however frequent that
    class is. Negative values are set to 0. a, p and q are computed over the last batches, weighted by momentum^age. The
    value is 0 before the first batch; with a single class it is 1 after it. The state is one buffer, so the module
    belongs in `misc`. In a process group the samples of all processes count.

    Args:
        num_classes: K, at least 1.
        momentum: factor on the weight of older batches at each batch, 0..1; 0 for the last batch alone.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Reference:
        Cohen, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement, 1960.

    Examples:
        >>> source_accuracy = SourceAccuracy(num_classes=2)
        >>> source_accuracy.update(torch.eye(2)[[0, 1, 1, 1]], torch.tensor([0, 0, 1, 1]))
        >>> source_accuracy()
        0.5
    """

    counts: Tensor

    def __init__(self, num_classes: int, momentum: float = 0.9, validate_args: bool = True) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes)
        check_fractions(momentum=momentum)
        self.num_classes, self.momentum, self.validate_args = num_classes, momentum, validate_args
        # weighted numbers of samples of each class: predicted wrongly, with this label, with this prediction
        self.register_buffer("counts", torch.zeros(3, num_classes, dtype=torch.float32))

    def forward(self) -> float:
        """Returns Cohen's kappa over the last batches, 0..1. It waits for the device, where a training step does not.

        A training step reads `counts` together with the checks of its batch.
        """
        return cohen_kappa(self.counts.flatten().tolist())

    @validated
    @torch.no_grad()
    def update(self, class_probs: Tensor, labels: Tensor) -> None:
        """Adds a batch; an empty batch changes nothing.

        Args:
            class_probs: shape (N, K), class probabilities or logits; the prediction is the argmax of a row.
            labels: shape (N,), integer, 0..K-1, or -1 for a sample to leave out.

        Raises:
            ValueError: wrong shape, NaN or infinite value, label out of range.
            TypeError: probabilities that are not floating point, labels that are not integers.
        """
        check_features(class_probs, self.num_classes, name="class_probs")
        labels = check_labels(labels, len(class_probs), self.num_classes, lowest=-1)
        labelled = members(labels, self.num_classes)
        predicted = members(class_probs.argmax(1).masked_fill(labels < 0, -1), self.num_classes)
        counts = torch.stack([labelled > predicted, labelled, predicted]).sum(2, dtype=torch.float32)
        (counts,) = summed_over_processes(counts)
        decayed = counts.add(self.counts, alpha=self.momentum)
        set_state(self, "counts", decayed.where(counts.sum() > 0, self.counts))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, momentum={self.momentum}"
