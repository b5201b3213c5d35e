"""CLUB: a variational upper bound on the mutual information between two representations."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..checks import check_features, check_floating, check_shape, check_sizes, validated
from ..precision import float32_parameters, in_float32

LOG_VARIANCE_LIMIT = 5.0  # an exact prediction would have an infinite bound otherwise


class CLUBLosses(NamedTuple):
    """Losses of `CLUBLoss`.

    bound: scalar, estimate of the upper bound in nats, minimised by the representations.
    estimator: scalar, negative log likelihood in nats, minimised by the estimator.
    """

    bound: Tensor
    estimator: Tensor


def standardised(values: Tensor, eps: float = 1e-5) -> Tensor:
    """Returns values with mean 0 and variance 1 over the batch; a constant dimension becomes 0.

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
    """Returns the mean negative log likelihood of a diagonal Gaussian without its constant, in nats.

    For one sample it is 1/2 sum_d ((v - m)^2 / s^2 + log s^2).

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
    r"""Returns the vCLUB estimate: mean log likelihood of matching pairs minus that of all pairs, in nats.

    $$ \frac{1}{N} \sum_i \log q(v_i | g_i) - \frac{1}{N^2} \sum_i \sum_j \log q(v_j | g_i) $$

    For a diagonal Gaussian the mean over j is computed in closed form from the mean and variance of the batch.

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
    r"""Contrastive log-ratio upper bound (vCLUB) on the mutual information of two representations, with its estimator.

    A network predicts one representation, v, from the other, g: it outputs the means and log variances of a diagonal
    Gaussian q(v | g). The gradient of the bound reaches v and g but not the network; the network's own loss reaches the
    network only. Both can therefore be minimised in one step. v is standardised over the batch, because the bound could
    otherwise be lowered by scaling v down. All is computed in float32 under autocast; log variances are limited to
    -5..5.

    The bound holds if q is close to the true conditional distribution. It then equals I(v; g) plus
    KL(p(v) p(g) || p(v, g)). For D independent pairs of jointly Gaussian variables with correlation r it is
    D r^2 / (1 - r^2), at least twice I(v; g) = -D/2 log(1 - r^2). With an untrained network, or one that lags behind v,
    the value is not a bound. A negative estimate shows this; it is replaced by 0, without a gradient.

    Args:
        values_dim: D, length of v, at least 1.
        given_dim: S, length of g, at least 1.
        hidden: width of the network's hidden layer.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Reference:
        Cheng et al., CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information, ICML 2020, arXiv 2006.12013.

    Examples:
        >>> loss = CLUBLoss(values_dim=4, given_dim=2)
        >>> bound, estimator_loss = loss(torch.randn(6, 4), torch.randn(6, 2))
        >>> bound.shape, estimator_loss.shape
        (torch.Size([]), torch.Size([]))
    """

    def __init__(self, values_dim: int, given_dim: int, hidden: int = 256, validate_args: bool = True) -> None:
        super().__init__()
        check_sizes(values_dim=values_dim, given_dim=given_dim, hidden=hidden)
        self.values_dim, self.given_dim, self.validate_args = values_dim, given_dim, validate_args
        self.estimator = nn.Sequential(nn.Linear(given_dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * values_dim))

    @validated
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
            frozen = {name: one.detach() for name, one in float32_parameters(self.estimator).items()}
            bound = club_bound(values, *self._gaussian(functional_call(self.estimator, frozen, (given,)))).relu()
            gaussian = self._gaussian(in_float32(self.estimator, given.detach()))
            scaled = bound.detach() + strength * (bound - bound.detach())
            return CLUBLosses(scaled, gaussian_negative_log_likelihood(values.detach(), *gaussian))

    @staticmethod
    def _gaussian(output: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and log variances, each of shape (N, D)."""
        means, raw = output.chunk(2, dim=1)
        return means, LOG_VARIANCE_LIMIT * torch.tanh(raw / LOG_VARIANCE_LIMIT)
