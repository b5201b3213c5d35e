"""Margin disparity between a classifier and an adversarial head, in both domains."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_at_least, check_features, check_floating, check_labels, check_positive, check_sizes
from ..one_hot import members
from ..precision import in_float32
from .adversarial_mi_loss import reversed_gradient
from .per_domain_mean import per_domain_mean


def margin_disparity(logits: Tensor, classes: Tensor, domains: Tensor, margin: float) -> Tensor:
    r"""Returns the adversarial head's loss, which is small if it agrees on the source and disagrees on the target.

    $$ \frac{\gamma}{N_s} \sum_{i \in s} -\log p_{i, c_i} + \frac{1}{N_t} \sum_{i \in t} -\log (1 - p_{i, c_i}) $$

    p is the softmax of the head's logits, c the class that the classifier predicts. Up to a constant its negative is
    the margin disparity discrepancy in the combined cross entropy form of the paper, with log gamma as the margin.

    Args:
        logits: of the head, shape (N, K), K at least 2.
        classes: c, shape (N,), integer, 0..K-1.
        domains: shape (N,), integer, 0 for source and 1 for target.
        margin: gamma, above 0.

    Returns:
        scalar in nats; 0 with a gradient on an empty batch. A domain without samples adds nothing.

    Raises:
        ValueError: wrong shape or value out of range.
        TypeError: logits that are not floating point, classes or domains that are not integers.

    Reference:
        Zhang et al., Bridging Theory and Algorithm for Domain Adaptation, ICML 2019, arXiv 1904.05801.

    Examples:
        >>> margin_disparity(torch.zeros(2, 2), torch.tensor([0, 1]), domains=torch.tensor([0, 1]), margin=4.0)
        tensor(3.4657)
    """
    check_floating(logits, "logits", "N", "K")
    check_at_least(2, K=logits.shape[1])
    check_positive(margin=margin)
    classes = check_labels(classes, len(logits), logits.shape[1], name="classes")
    domains = check_labels(domains, len(logits), 2, name="domains")
    agreement = F.cross_entropy(logits, classes, reduction="none")
    others = logits.masked_fill(members(classes, logits.shape[1]).t(), -torch.inf)
    disagreement = logits.logsumexp(1) - others.logsumexp(1)  # -log(1 - p), finite where p rounds to 1
    return per_domain_mean((margin * agreement).where(domains == 0, disagreement), domains)


class MarginDisparityLoss(nn.Module):
    r"""Margin disparity discrepancy (MDD): an adversarial head behind gradient reversal, see `margin_disparity`.

    The head learns to agree with the classifier on the source and to disagree on the target, with a margin. Through
    the reversed gradient the features learn to leave no room for such a head. The head has one hidden layer, as in
    Transfer-Learning-Library, and no dropout. It runs in float32 under autocast.

    Args:
        num_classes: K, at least 2.
        feature_dim: D, at least 1.
        margin: gamma, above 0, weight of the source; 4 in the paper.
        hidden: width of the hidden layer, at least 1; 1024 in the paper, for features of a ResNet-50.

    Reference:
        Zhang et al., Bridging Theory and Algorithm for Domain Adaptation, ICML 2019, arXiv 1904.05801.

    Examples:
        >>> loss = MarginDisparityLoss(num_classes=3, feature_dim=4)
        >>> loss(torch.randn(2, 4), torch.tensor([0, 2]), domains=torch.tensor([0, 1])).shape
        torch.Size([])
    """

    def __init__(self, num_classes: int, feature_dim: int, margin: float = 4.0, hidden: int = 256) -> None:
        super().__init__()
        check_sizes(feature_dim=feature_dim, hidden=hidden)
        check_at_least(2, num_classes=num_classes)
        check_positive(margin=margin)
        self.num_classes, self.feature_dim, self.margin = num_classes, feature_dim, margin
        self.head = nn.Sequential(nn.Linear(feature_dim, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, features: Tensor, classes: Tensor, domains: Tensor, strength: float = 1.0) -> Tensor:
        """Returns the head's loss, a scalar; 0 with a gradient on an empty batch.

        Args:
            features: shape (N, D), floating point, one sample a row.
            classes: shape (N,), integer, 0..K-1, classes that the classifier predicts.
            domains: shape (N,), integer, 0 for source and 1 for target.
            strength: factor >= 0 on the reversed gradient that reaches the features.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature.
            TypeError: features that are not floating point, classes or domains that are not integers.
        """
        check_features(features, self.feature_dim)
        check_at_least(0, strength=strength)
        with torch.autocast(features.device.type, enabled=False):
            logits = in_float32(self.head, reversed_gradient(features.float(), strength))
            return margin_disparity(logits, classes, domains, self.margin)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, feature_dim={self.feature_dim}, margin={self.margin}"
