"""Mutual information between two representations, lowered by a variational upper bound (CLUB)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..checks import check_features, check_floating, check_shape, check_sizes

LOG_VARIANCE_LIMIT = 5.0  # otherwise what is guessed exactly would have an infinite bound


class CLUBLosses(NamedTuple):
    """What `CLUBLoss` gives.

    bound: scalar, estimate of the upper bound in nats, to be minimised by the representations.
    estimator: scalar, negative log likelihood in nats, to be minimised by the estimator.
    """

    bound: Tensor
    estimator: Tensor


def standardised(values: Tensor, eps: float = 1e-5) -> Tensor:
    """Values with mean 0 and variance 1 over the batch; a dimension that does not vary is 0.

    Args:
        values: shape (N, D), one sample a row.
        eps: added to the variance.
    """
    centred = values - values.sum(0) / max(len(values), 1)
    return centred / (centred.square().sum(0) / max(len(values), 1) + eps).sqrt()


def check_gaussians(values: Tensor, means: Tensor, log_variances: Tensor) -> None:
    """Raises unless all three are floating point, of the same shape (N, D)."""
    check_floating(values, "values", "N", "D")
    for name, tensor in (("means", means), ("log_variances", log_variances)):
        check_floating(tensor, name, *values.shape)


def gaussian_negative_log_likelihood(values: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """Mean of -log q(v_i) without its constant, q a diagonal Gaussian: 1/2 sum_d ((v - m)^2 / s^2 + log s^2), in nats.

    Args:
        values: shape (N, D), one sample a row.
        means: shape (N, D).
        log_variances: shape (N, D), log s^2.

    Returns:
        scalar in nats; 0 with a gradient on an empty batch.

    Raises:
        ValueError: wrong shape.
        TypeError: a tensor that is not floating point.

    Examples:
        >>> gaussian_negative_log_likelihood(torch.ones(1, 1), means=torch.zeros(1, 1), log_variances=torch.zeros(1, 1))
        tensor(0.5000)
    """
    check_gaussians(values, means, log_variances)
    terms = (values - means).square() * (-log_variances).exp() + log_variances
    return 0.5 * terms.sum() / max(len(values), 1)


def club_bound(values: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    r"""Mean log likelihood of the pairs of a batch minus that of all its pairs, in nats.

    $$ \frac{1}{N} \sum_i \log q(v_i | g_i) - \frac{1}{N^2} \sum_i \sum_j \log q(v_j | g_i) $$

    For a diagonal Gaussian the mean over j takes no loop: it is that of the mean and variance of the batch.

    Args:
        values: v, shape (N, D), one sample a row.
        means: shape (N, D), mean of q(. | g_i).
        log_variances: shape (N, D), log of its variance.

    Returns:
        scalar in nats; 0 with a gradient on an empty batch.

    Raises:
        ValueError: wrong shape.
        TypeError: a tensor that is not floating point.

    Examples:
        >>> values = torch.tensor([[1.0], [-1.0]])
        >>> club_bound(values, means=values, log_variances=torch.zeros(2, 1))
        tensor(1.)
    """
    check_gaussians(values, means, log_variances)
    size = max(len(values), 1)
    mean = values.sum(0) / size
    variance = (values - mean).square().sum(0) / size
    surplus = variance + (mean - means).square() - (values - means).square()
    return 0.5 * (surplus * (-log_variances).exp()).sum() / size


class CLUBLoss(nn.Module):
    r"""Contrastive log-ratio upper bound (vCLUB) on the mutual information of two representations, and its estimator.

    A network guesses one representation, v, from the other, g, by a Gaussian q(v | g) with diagonal covariance, whose
    means and log variances it gives. The bound's gradient reaches v and g and not the network; the network's own loss
    reaches the network alone, so both are minimised in one step. v is standardised over the batch, which leaves the
    mutual information as it is: otherwise the bound could be lowered by making v small. All is computed in float32
    under autocast; log variances are held within -5..5.

    The bound holds as far as q is close to the true conditional distribution; then it is I(v; g) plus the divergence
    KL(p(v) p(g) || p(v, g)). For jointly Gaussian v and g of D independent pairs with correlation r it is
    D r^2 / (1 - r^2), at least twice I(v; g) = -D/2 log(1 - r^2). A network that is not trained, or lags behind v,
    bounds nothing. An estimate below 0 shows that, and becomes a 0 with no gradient to follow.

    Args:
        values_dim: D, length of v, at least 1.
        given_dim: S, length of g, at least 1.
        hidden: width of the network's hidden layer.

    Reference:
        Cheng et al., CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information, ICML 2020, arXiv 2006.12013.

    Examples:
        >>> loss = CLUBLoss(values_dim=4, given_dim=2)
        >>> bound, estimator_loss = loss(torch.randn(6, 4), torch.randn(6, 2))
        >>> bound.shape, estimator_loss.shape
        (torch.Size([]), torch.Size([]))
    """

    def __init__(self, values_dim: int, given_dim: int, hidden: int = 256) -> None:
        super().__init__()
        check_sizes(values_dim=values_dim, given_dim=given_dim, hidden=hidden)
        self.values_dim, self.given_dim = values_dim, given_dim
        self.estimator = nn.Sequential(nn.Linear(given_dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * values_dim))

    def forward(self, values: Tensor, given: Tensor, strength: float = 1.0) -> CLUBLosses:
        """Returns the bound and the estimator's loss, both in nats; 0 with a gradient on an empty batch.

        Args:
            values: shape (N, D), floating point, one sample a row.
            given: shape (N, S), floating point, of the same samples.
            strength: factor >= 0 on the bound's gradient.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite value.
            TypeError: values or given that are not floating point.
        """
        check_features(values, self.values_dim, name="values")
        check_features(given, self.given_dim, name="given")
        check_shape(given, (len(values), self.given_dim), "given")
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        with torch.autocast(values.device.type, enabled=False):
            values, given = standardised(values.float()), given.float()
            frozen = {name: parameter.detach() for name, parameter in self.estimator.named_parameters()}
            bound = club_bound(values, *self._guess(functional_call(self.estimator, frozen, (given,)))).relu()
            guess = self._guess(self.estimator(given.detach()))
            scaled = bound.detach() + strength * (bound - bound.detach())
            return CLUBLosses(scaled, gaussian_negative_log_likelihood(values.detach(), *guess))

    @staticmethod
    def _guess(output: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances, each of shape (N, D)."""
        means, raw = output.chunk(2, dim=1)
        return means, LOG_VARIANCE_LIMIT * torch.tanh(raw / LOG_VARIANCE_LIMIT)
