"""Category margin on the unit sphere: cosine softmax with an additive margin, independent of the scale of features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_features, check_floating, check_labels, check_sizes, check_weights, validated
from ..one_hot import members
from ..unit_rows import unit_rows
from .per_domain_mean import numbers_of_domain


def cosine_margin_logits(features: Tensor, prototypes: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Returns scaled cosines, with the margin subtracted for the true class: s (cos(f_i, w_k) - m [k = y_i]).

    Args:
        features: shape (N, D), floating point, one sample a row; a zero row has cosine 0 with every prototype.
        prototypes: shape (K, D), floating point, one class a row.
        labels: shape (N,), integer, 0..K-1.
        scale: s > 0.
        margin: m, in units of cosine, 0..2.

    Returns:
        shape (N, K).

    Raises:
        ValueError: wrong shape or value out of range.
        TypeError: features or prototypes that are not floating point, labels that are not integers.

    Examples:
        >>> cosine_margin_logits(torch.tensor([[3.0, 0.0]]), torch.eye(2), torch.tensor([0]), scale=8.0, margin=0.25)
        tensor([[6., 0.]])
    """
    check_floating(features, "features", "N", "D")
    check_floating(prototypes, "prototypes", "K", features.shape[1])
    labels = check_labels(labels, len(features), len(prototypes))
    check_scale_and_margin(scale, margin)
    return lowered_cosines(features, prototypes, labels, scale, margin)


def lowered_cosines(features: Tensor, prototypes: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Returns the same as `cosine_margin_logits` without checks; a label of -1 has no true class."""
    own = members(labels, len(prototypes)).t().to(features)
    units = unit_rows(features), unit_rows(prototypes).t()
    return torch.addmm(own, *units, beta=-scale * margin, alpha=scale)


def check_scale_and_margin(scale: float, margin: float) -> None:
    """Raises `ValueError` unless the scale is positive and the margin is in 0..2."""
    if not scale > 0 or not 0 <= margin <= 2:
        raise ValueError(f"scale must be positive and margin in 0..2, got scale {scale} and margin {margin}")


class CosineMarginLoss(nn.Module):
    r"""Cross entropy over cosines to learnable class prototypes with an additive margin (CosFace).

    $$ L = \sum_d \frac{1}{N_d} \sum_{i \in d} w_i \, CE\big(s (\cos(f_i, w_k) - m [k = y_i]), y_i\big) $$

    The prototypes are shared by all domains. Samples with label -1 or weight 0 count in N_d but add nothing, so a batch
    of rejected labels gives 0 with a gradient. Cosines are computed in float32 under autocast.

    Args:
        num_classes: K, at least 1.
        feature_dim: D, at least 1.
        scale: s > 0, inverse temperature of the softmax over cosines; 64 in the paper, for ten thousand faces.
        margin: m, 0..2, in units of cosine; 0.35 in the paper.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Reference:
        Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, CVPR 2018, arXiv 1801.09414.

    Examples:
        >>> loss = CosineMarginLoss(num_classes=3, feature_dim=4)
        >>> loss(torch.randn(5, 4), torch.tensor([0, 1, 2, 0, -1]), domains=torch.zeros(5, dtype=torch.long)).shape
        torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        scale: float = 8.0,
        margin: float = 0.2,
        validate_args: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, feature_dim=feature_dim)
        check_scale_and_margin(scale, margin)
        self.num_classes, self.feature_dim, self.scale, self.margin = num_classes, feature_dim, scale, margin
        self.validate_args = validate_args
        self.prototypes = nn.Parameter(F.normalize(torch.randn(num_classes, feature_dim), dim=1))

    @validated
    def forward(
        self, features: Tensor, labels: Tensor, domains: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Returns the loss, a scalar with a gradient.

        Args:
            features: shape (N, D), floating point, one sample a row.
            labels: shape (N,), integer, class 0..K-1 or -1 for a sample without a label.
            domains: shape (N,), integer, domain 0, 1, ... of a sample; None for a single domain.
            weights: shape (N,), floating point, 0..1, confidence in each label; None for 1.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature.
            TypeError: features or weights that are not floating point, labels that are not integers.
        """
        check_features(features, self.feature_dim)
        labels = check_labels(labels, len(features), self.num_classes, lowest=-1)
        if weights is not None:
            check_weights(weights, len(features))
        domains = torch.zeros_like(labels) if domains is None else domains
        domains = check_labels(domains, len(features), torch.iinfo(torch.int32).max, name="domains")
        with torch.autocast(features.device.type, enabled=False):
            logits = lowered_cosines(features.float(), self.prototypes.float(), labels, self.scale, self.margin)
            losses = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
            numbers = numbers_of_domain(domains)
            return losses @ (numbers.reciprocal() if weights is None else weights.float() / numbers)

    def extra_repr(self) -> str:
        sizes = f"num_classes={self.num_classes}, feature_dim={self.feature_dim}"
        return f"{sizes}, scale={self.scale}, margin={self.margin}"
