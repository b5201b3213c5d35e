"""Pseudo labels by the classifier, as in the published method."""

import torch
from torch import Tensor, nn

from .pseudo_labels import PseudoLabels


class ArgmaxLabeler(nn.Module):
    """Labels target samples by the classifier's most probable class, with confidence 1. It has no state.

    Examples:
        >>> ArgmaxLabeler()(torch.zeros(1, 4), class_probs=torch.tensor([[0.1, 0.9]])).labels
        tensor([1])
    """

    def update(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Does nothing; for the interface of `PrototypeLabeler`."""

    def check_sample_idx(self, sample_idx: Tensor, size: int) -> Tensor:
        """Returns the indices unchecked; for the interface of `PrototypeLabeler`."""
        return sample_idx

    def step(
        self,
        source: Tensor,
        source_labels: Tensor,
        target: Tensor,
        sample_idx: Tensor,
        class_probs: Tensor,
        known: Tensor | None = None,
    ) -> PseudoLabels:
        """Returns the labels of the target batch; for the interface of `PrototypeLabeler`."""
        return self.forward(target, sample_idx, class_probs)

    def forward(
        self, features: Tensor, sample_idx: Tensor | None = None, class_probs: Tensor | None = None
    ) -> PseudoLabels:
        """Returns a label for every row of `class_probs`; none is rejected.

        Args:
            features: not used.
            sample_idx: not used.
            class_probs: shape (N, K), one sample a row.

        Raises:
            ValueError: class_probs is missing or not of shape (N, K).
        """
        if class_probs is None or class_probs.ndim != 2:
            came = None if class_probs is None else tuple(class_probs.shape)
            raise ValueError(f"class_probs must have shape (N, K), got {came}")
        labels = class_probs.argmax(1)
        highest = class_probs.detach().float().gather(1, labels[:, None])[:, 0]
        return PseudoLabels(labels, torch.ones_like(highest), 1 - highest)
