"""A domain-sensitive representation, computed from the features."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checks import check_features, check_labels, check_sizes, validated
from ..precision import in_float32
from .adversarial_mi_loss import domain_cross_entropy


class DomainSensitive(NamedTuple):
    """Output of `DomainBranch`.

    features: shape (N, S), float32, the domain-sensitive representation.
    loss: scalar, cross entropy of the domain predicted from it, in nats.
    """

    features: Tensor
    loss: Tensor


class DomainBranch(nn.Module):
    """A small network D-hidden-S on the features, followed by a linear layer that predicts the domain.

    No gradient flows back to the features, because they would learn to carry the domain. It runs in float32 under
    autocast.

    Args:
        feature_dim: D, at least 1.
        branch_dim: S, at least 1. One number, the log odds, is enough for two domains. A larger branch can also hold
            class information, which the features would then lose.
        hidden: width of the hidden layer.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Examples:
        >>> branch = DomainBranch(feature_dim=4, branch_dim=2)
        >>> branch(torch.randn(3, 4), domains=torch.tensor([0, 0, 1])).features.shape
        torch.Size([3, 2])
    """

    def __init__(self, feature_dim: int, branch_dim: int = 1, hidden: int = 256, validate_args: bool = True) -> None:
        super().__init__()
        check_sizes(feature_dim=feature_dim, branch_dim=branch_dim, hidden=hidden)
        self.feature_dim, self.branch_dim, self.validate_args = feature_dim, branch_dim, validate_args
        self.branch = nn.Sequential(nn.Linear(feature_dim, hidden), nn.ReLU(), nn.Linear(hidden, branch_dim))
        self.classifier = nn.Linear(branch_dim, 1)

    @validated
    def forward(self, features: Tensor, domains: Tensor) -> DomainSensitive:
        """Returns the domain-sensitive representation and its loss; the loss is 0 with a gradient on an empty batch.

        Args:
            features: shape (N, D), floating point, one sample a row.
            domains: shape (N,), integer, 0 or 1.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature.
            TypeError: features that are not floating point, domains that are not integers.
        """
        check_features(features, self.feature_dim)
        domains = check_labels(domains, len(features), 2, name="domains")
        with torch.autocast(features.device.type, enabled=False):
            sensitive = in_float32(self.branch, features.detach().float())
            return DomainSensitive(
                sensitive, domain_cross_entropy(in_float32(self.classifier, sensitive).squeeze(1), domains)
            )
