"""Category margin with class centres: the published semantic metric learning loss of DMSRL."""

import torch
from torch import Tensor, nn

from ..checks import check_features, check_floating, check_labels, check_sizes, check_weights, validated
from .per_domain_mean import per_domain_mean


def center_pull(features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    """Returns half the squared distance of each sample to its class centre, ||f_i - c_{y_i}||^2 / 2.

    Args:
        features: shape (N, D), floating point, one sample a row.
        centers: shape (K, D), floating point, one class a row.
        labels: shape (N,), integer, 0..K-1.

    Returns:
        shape (N,), squared feature units.

    Raises:
        ValueError: wrong shape or label out of range.
        TypeError: features or centers that are not floating point, labels that are not integers.

    Examples:
        >>> center_pull(torch.tensor([[3.0, 4.0]]), centers=torch.zeros(2, 2), labels=torch.tensor([1]))
        tensor([12.5000])
    """
    check_floating(centers, "centers", "K", "D")
    check_floating(features, "features", "N", centers.shape[1])
    labels = check_labels(labels, len(features), len(centers))
    return 0.5 * (features - centers[labels]).square().sum(1)


def center_spread(centers: Tensor, margin: float) -> Tensor:
    """Returns the hinge [M - sum_{i<j} ||c_i - c_j||^2 / (K (K - 1))]_+ on distances between centres.

    There are K (K - 1) / 2 pairs, so the sum divided by K (K - 1) is half the mean over pairs.

    Args:
        centers: shape (K, D), floating point, one class a row. With one class the distance is 0.
        margin: M, in squared feature units.

    Returns:
        scalar, squared feature units.

    Raises:
        ValueError: wrong shape.
        TypeError: centers that are not floating point.

    Examples:
        >>> center_spread(torch.tensor([[0.0], [2.0]]), margin=5.0)
        tensor(3.)
    """
    check_floating(centers, "centers", "K", "D")
    count = len(centers)
    # sum over pairs of squared distances = K sum ||c||^2 - ||sum c||^2, without a K x K matrix
    pairs = count * centers.square().sum() - centers.sum(0).square().sum()
    return torch.relu(margin - pairs / max(count * (count - 1), 1))


def center_gap(first: Tensor, second: Tensor) -> Tensor:
    """Returns the mean squared distance between two domains' centres of the same class, mean_k ||a_k - b_k||^2.

    Args:
        first: a, shape (K, D), floating point, one class a row.
        second: b, likewise.

    Returns:
        scalar, squared feature units.

    Raises:
        ValueError: wrong shape.
        TypeError: centres that are not floating point.

    Examples:
        >>> center_gap(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [1.0]]))
        tensor(2.)
    """
    check_floating(first, "first", "K", "D")
    check_floating(second, "second", *first.shape)
    return (first - second).square().sum(1).mean()


class MarginMetricLoss(nn.Module):
    r"""The published semantic metric learning loss of DMSRL, with learnable class centres for each domain.

    $$ L = \sum_d \frac{1}{2 N_d} \sum_i w_i \|f_i - c^d_{y_i}\|^2
    + \sum_d \Big[M - \sum_{i<j} \frac{\|c^d_i - c^d_j\|^2}{K (K-1)}\Big]_+
    + \gamma \sum_{d>0} \frac{1}{K} \sum_k \|c^0_k - c^d_k\|^2 $$

    The centres are parameters; the authors train them by SGD with learning rate 1. M is in squared units of the
    un-normalised features, so it depends on the scale of the network; `CosineMarginLoss` does not. Distances are
    computed in float32 under autocast. A class missing from the batch adds nothing to the first term.

    Args:
        num_classes: K, at least 1.
        feature_dim: D, at least 1.
        num_domains: number of domains, each with its own centres; 2 in the paper.
        margin: M, squared feature units; 100 in the paper.
        gap_weight: weight of the distance between the domains' centres; 0.01 in the paper.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Reference:
        Li et al., Deep Margin-Sensitive Representation Learning for Cross-Domain Facial Expression Recognition,
        IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604.

    Examples:
        >>> loss = MarginMetricLoss(num_classes=3, feature_dim=4)
        >>> features, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, -1])
        >>> loss(features, labels, domains=torch.tensor([0, 0, 0, 1, 1, 1])).shape
        torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        num_domains: int = 2,
        margin: float = 100.0,
        gap_weight: float = 0.01,
        validate_args: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, feature_dim=feature_dim, num_domains=num_domains)
        self.num_classes, self.feature_dim = num_classes, feature_dim
        self.margin, self.gap_weight = margin, gap_weight
        self.validate_args = validate_args
        self.centers = nn.Parameter(torch.randn(num_domains, num_classes, feature_dim))

    @validated
    def forward(self, features: Tensor, labels: Tensor, domains: Tensor, weights: Tensor | None = None) -> Tensor:
        """Returns the loss, a scalar with a gradient; without valid samples only the terms of the centres remain.

        Args:
            features: shape (N, D), floating point, one sample a row.
            labels: shape (N,), integer, class 0..K-1 or -1 for a sample without a label.
            domains: shape (N,), integer, domain 0..num_domains-1 of a sample.
            weights: shape (N,), floating point, 0..1, confidence in each label; None for 1.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature.
            TypeError: features or weights that are not floating point, labels or domains that are not integers.
        """
        check_features(features, self.feature_dim)
        labels = check_labels(labels, len(features), self.num_classes, lowest=-1)
        domains = check_labels(domains, len(features), len(self.centers), name="domains")
        weights = torch.ones(len(features), dtype=torch.float32, device=features.device) if weights is None else weights
        check_weights(weights, len(features))
        with torch.autocast(features.device.type, enabled=False):
            return self._loss(features.float(), labels, domains, weights.float() * (labels >= 0))

    def _loss(self, features: Tensor, labels: Tensor, domains: Tensor, weights: Tensor) -> Tensor:
        centers = self.centers.float()
        own = domains * self.num_classes + labels.clamp(min=0)
        loss = per_domain_mean(weights * center_pull(features, centers.flatten(0, 1), own), domains)
        for of_domain in centers:
            loss = loss + center_spread(of_domain, self.margin)
        for of_domain in centers[1:]:
            loss = loss + self.gap_weight * center_gap(centers[0], of_domain)
        return loss

    def extra_repr(self) -> str:
        sizes = f"num_classes={self.num_classes}, feature_dim={self.feature_dim}"
        return f"{sizes}, margin={self.margin}, gap_weight={self.gap_weight}"
