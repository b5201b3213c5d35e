"""Pseudo labels by the nearest class prototype, kept for every target sample."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_features, check_labels, check_weights
from .faiss_search import DEVICES, METRICS, nearest
from .pseudo_labels import PseudoLabels


def class_means(rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Weighted mean of every class's rows, in float32 under autocast.

    Args:
        rows: shape (N, D), float32, one sample a row.
        labels: shape (N,), int64, 0..K-1, or -1 for a sample to leave out.
        weights: shape (N,), float32, at least 0.
        num_classes: K.

    Returns:
        means: shape (K, D), NaN for a class without weight.
        has_weight: shape (K,), bool.
    """
    members = F.one_hot(labels + 1, num_classes + 1)[:, 1:] * weights[:, None]
    mass = members.sum(0)
    with torch.autocast(rows.device.type, enabled=False):
        return members.t() @ rows / mass[:, None], mass > 0


class PrototypeLabeler(nn.Module):
    r"""Labels a target sample by its nearest class prototype, searched with FAISS, and keeps the label of each sample.

    Prototypes are running means of the features of labelled source samples and of trusted target samples. The trust in
    a label is the gap between the nearest and the second nearest class,

    .. math:: w = 1 - d_1 / d_2, \quad 0 \le w \le 1,

    and a sample is rejected where w is below `threshold` times the running mean of w over samples with its label, so
    that a class that is hard to tell keeps samples. The state is buffers only: it belongs in `misc`, is saved in
    checkpoints, follows the features to their device, and takes 12 bytes a target sample. Everything is float32.

    The state is that of one process: under several each keeps prototypes of its own, made of the samples it saw, and
    the labels of these samples only. Nothing is reduced over processes.

    Args:
        num_classes: K, at least 1. With one class every label is 0 with trust 1.
        feature_dim: D, at least 1.
        num_target: number of samples in the target data set, at least 1.
        metric: "cosine" (distance 1 - cos, 0..2) or "l2" (squared Euclidean distance).
        device: where FAISS searches: "auto" for the features' device, "cpu" for the CPU.
        momentum: share of the old prototype kept at an update, 0..1.
        threshold: share of a class's mean trust below which a sample is rejected, at least 0; 0 rejects none.

    Example:
        >>> labeler = PrototypeLabeler(num_classes=2, feature_dim=2, num_target=10)
        >>> labeler.update(torch.eye(2), torch.tensor([0, 1]))
        >>> labeler(torch.tensor([[3.0, 0.1]]), sample_idx=torch.tensor([7])).labels
        tensor([0])
        >>> labeler.labels[7]
        tensor(0)
    """

    prototypes: Tensor
    is_seen: Tensor
    mean_trust: Tensor
    labels: Tensor
    weights: Tensor

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        num_target: int,
        metric: str = "cosine",
        device: str = "auto",
        momentum: float = 0.9,
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes, "feature_dim": feature_dim, "num_target": num_target}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, choice, choices in (("metric", metric, METRICS), ("device", device, DEVICES)):
            if choice not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {choice!r}")
        if not 0 <= momentum <= 1 or threshold < 0:
            raise ValueError(f"momentum must be in 0..1 and threshold at least 0, got {momentum} and {threshold}")
        self.num_classes, self.feature_dim, self.num_target = num_classes, feature_dim, num_target
        self.metric, self.device, self.momentum, self.threshold = metric, device, momentum, threshold
        self.register_buffer("prototypes", torch.zeros(num_classes, feature_dim))
        self.register_buffer("is_seen", torch.zeros(num_classes, dtype=torch.bool))
        self.register_buffer("mean_trust", torch.zeros(num_classes))
        self.register_buffer("labels", torch.full((num_target,), -1))
        self.register_buffer("weights", torch.zeros(num_target))

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Moves the prototype of every class in the batch towards the weighted mean of its features.

        Args:
            features: shape (N, D), floating point, one sample a row.
            labels: shape (N,), integer, 0..K-1, or -1 for a sample to leave out.
            weights: shape (N,), floating point, 0..1; None counts every sample in full.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature; nothing is updated then.
            TypeError: wrong kind of tensor.
        """
        check_features(features, self.feature_dim)
        labels = check_labels(labels, len(features), self.num_classes, lowest=-1)
        weights = torch.ones(len(features), device=features.device) if weights is None else weights
        check_weights(weights, len(features))
        self.to(features.device)
        rows = F.normalize(features.float(), dim=1) if self.metric == "cosine" else features.float()
        means, present = class_means(rows, labels, weights.float(), self.num_classes)
        kept = torch.where(self.is_seen, self.momentum, 0.0)[:, None]
        moved = kept * self.prototypes + (1 - kept) * means
        self.prototypes.copy_(moved.where(present[:, None], self.prototypes))
        self.is_seen |= present

    @torch.no_grad()
    def forward(
        self, features: Tensor, sample_idx: Tensor | None = None, class_probs: Tensor | None = None
    ) -> PseudoLabels:
        """Gives labels and trust of target samples, and keeps them where `sample_idx` tells which samples they are.

        Before any class has been seen by `update` every sample is rejected.

        Args:
            features: shape (N, D), floating point, one sample a row. No gradient flows through the labels.
            sample_idx: shape (N,), integer, 0..num_target-1, index in the target data set; None keeps nothing and
                leaves the state as it was.
            class_probs: not used; what `ArgmaxLabeler` labels by.

        Raises:
            ValueError: wrong shape, index out of range, NaN or infinite feature; nothing is kept then.
            TypeError: wrong kind of tensor.
        """
        check_features(features, self.feature_dim)
        if sample_idx is not None:
            sample_idx = self.check_sample_idx(sample_idx, len(features))
        self.to(features.device)
        nearest_class, trust = self._nearest_class(features)
        if sample_idx is not None:
            self._follow_trust(nearest_class, trust)
        kept = (nearest_class >= 0) & (trust >= self.threshold * self.mean_trust[nearest_class.clamp(min=0)])
        result = PseudoLabels(nearest_class.where(kept, -1), trust.where(kept, 0.0))
        if sample_idx is not None:
            self.labels[sample_idx], self.weights[sample_idx] = result
        return result

    def check_sample_idx(self, sample_idx: Tensor, size: int) -> Tensor:
        """Gives indices as int64. Raises as `forward` does unless they are `size` integers 0..num_target-1."""
        return check_labels(sample_idx, size, self.num_target, name=f"sample_idx (num_target = {self.num_target})")

    def _nearest_class(self, features: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.is_seen.nonzero()[:, 0]
        if len(seen) == 0:
            unknown = torch.full((len(features),), -1, device=features.device)
            return unknown, torch.zeros(len(features), device=features.device)
        distances, indices = nearest(
            features, self.prototypes[seen], min(2, len(seen)), metric=self.metric, device=self.device
        )
        first, last = distances[:, 0], distances[:, -1]
        ratio = torch.where(last > 0, first / last, 1.0) if len(seen) > 1 else torch.zeros_like(first)
        return seen[indices[:, 0]], (1 - ratio).clamp(0, 1)

    def _follow_trust(self, labels: Tensor, trust: Tensor) -> None:
        means, present = class_means(trust[:, None], labels, torch.ones_like(trust), self.num_classes)
        kept = torch.where(self.mean_trust > 0, self.momentum, 0.0)
        moved = kept * self.mean_trust + (1 - kept) * means[:, 0]
        self.mean_trust.copy_(moved.where(present, self.mean_trust))

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, feature_dim={self.feature_dim}, num_target={self.num_target}, "
            f"metric={self.metric!r}, momentum={self.momentum}, threshold={self.threshold}"
        )
