"""Adversarial minimisation of the mutual information between features and domain."""

from typing import Any

import torch
import torch.nn.functional as F
from pytorch_adapt.models import Discriminator
from torch import Tensor

from ..checks import (
    check_class_probs,
    check_features,
    check_floating,
    check_fractions,
    check_labels,
    check_shape,
    check_sizes,
    check_weights,
    validated,
)
from ..one_hot import members
from ..precision import PreciseBuffers, in_float32
from ..processes import num_processes, summed_over_processes
from ..state import set_state
from .class_balance import ClassBalance


def domain_cross_entropy(logits: Tensor, domains: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean cross entropy of domain predictions, in nats.

    In expectation, the entropy H(domain) minus this value is a lower bound on I(feature; domain). H(domain) is log 2
    for two domains with equally many samples.

    Args:
        logits: shape (N,) for two domains, the critic's log odds of domain 1; shape (N, M) for M > 2 domains.
        domains: shape (N,), integer, 0..M-1.
        label_smoothing: fraction of a domain label that is spread over all domains, 0..1, as in `AdversarialMILoss`.

    Returns:
        scalar in nats; 0 with a gradient on an empty batch.

    Raises:
        ValueError: wrong shape or value out of range.
        TypeError: logits that are not floating point, domains that are not integers.

    Examples:
        >>> domain_cross_entropy(torch.zeros(3), domains=torch.tensor([0, 1, 1]))
        tensor(0.6931)
    """
    domains = check_domain_logits(logits, domains, "N")
    check_fractions(label_smoothing=label_smoothing)
    if logits.ndim > 1:
        losses = F.cross_entropy(logits, domains, reduction="sum", label_smoothing=label_smoothing)
    else:
        losses = F.binary_cross_entropy_with_logits(
            logits, log_odds_truth(domains, logits, label_smoothing), reduction="sum"
        )
    return losses / max(len(logits), 1)


def check_domain_logits(logits: Tensor, domains: Tensor, axes: str) -> Tensor:
    """Returns `domains` as int64.

    Raises unless logits have the given axes (log odds, M = 2), or one more of length M, and domains have shape (N,)
    with values 0..M-1.
    """
    check_floating(logits, "logits")
    are_odds = logits.ndim <= len(axes)
    check_shape(logits, (*axes,) if are_odds else (*axes, "M"), "logits")
    return check_labels(domains, len(logits), 2 if are_odds else logits.shape[-1], name="domains")


def log_odds_truth(domains: Tensor, logits: Tensor, label_smoothing: float) -> Tensor:
    """Returns the probability of domain 1 that log odds are compared with, in their dtype, shape (N,)."""
    truth = domains.to(logits)
    return truth * (1 - label_smoothing) + label_smoothing / 2 if label_smoothing else truth


def class_domain_cross_entropy(
    logits: Tensor, domains: Tensor, class_probs: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    r"""Returns the class-wise cross entropy of domain predictions, weighted by class probabilities, in nats.

    $$ \frac{1}{MK} \sum_k \sum_d \sum_{i \in d} \frac{q_{ik}}{1 + \sum_{j \in d} q_{jk}} CE(h_{ik}, d_i) $$

    Each class counts the same, and within a class each of the M domains, regardless of their numbers of samples. The 1
    in the denominator reduces the weight of a class of which a batch holds less than about one sample. It also makes
    the loss smaller for all classes, so log 2 minus the loss is not a bound on the mutual information. In a process
    group the sums in the denominator run over all processes, and the mean of the processes' losses is the loss of all
    samples.

    Args:
        logits: shape (N, K) for two domains, the critic's log odds of domain 1 in each class; (N, K, M) for M > 2.
        domains: shape (N,), integer, 0..M-1.
        class_probs: q, shape (N, K), floating point, 0..1, weight of a sample in each class. No gradient flows into it.
        label_smoothing: fraction of a domain label that is spread over all domains, 0..1, as in `AdversarialMILoss`.

    Returns:
        scalar in nats; 0 with a gradient on an empty batch.

    Raises:
        ValueError: wrong shape or domain out of range.
        TypeError: logits or class_probs that are not floating point, domains that are not integers.

    Examples:
        >>> one_class = torch.ones(2, 1)
        >>> class_domain_cross_entropy(torch.zeros(2, 1), domains=torch.tensor([0, 1]), class_probs=one_class)
        tensor(0.3466)
    """
    domains = check_domain_logits(logits, domains, "NK")
    check_floating(class_probs, "class_probs", *logits.shape[:2])
    check_fractions(label_smoothing=label_smoothing)
    num_domains = 2 if logits.ndim == 2 else logits.shape[2]
    of_domain = members(domains, num_domains).to(class_probs)
    return weighted_cross_entropy(logits, domains, class_probs, of_domain, label_smoothing)


def weighted_cross_entropy(
    logits: Tensor, domains: Tensor, class_probs: Tensor, of_domain: Tensor, label_smoothing: float
) -> Tensor:
    """Returns `class_domain_cross_entropy`, unchecked, for float (M, N): 1 where a sample is of a domain, else 0."""
    num_domains = len(of_domain)
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        (mass,) = summed_over_processes(of_domain @ class_probs)
        number = num_domains * logits.shape[1] / num_processes()
        weights = class_probs / (number + number * mass)[domains]
    if logits.ndim == 2:
        truth = log_odds_truth(domains, logits, label_smoothing)[:, None].expand_as(logits)
        return F.binary_cross_entropy_with_logits(logits, truth, weights, reduction="sum")
    truth = domains[:, None].expand_as(weights).flatten()
    losses = F.cross_entropy(logits.flatten(0, 1), truth, reduction="none", label_smoothing=label_smoothing)
    return losses @ weights.flatten()


class GradientReversal(torch.autograd.Function):
    """Identity whose backward pass multiplies the gradient by -strength."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        """Returns the features."""
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Returns the reversed gradient."""
        return -ctx.strength * grads[0], None


def reversed_gradient(features: Tensor, strength: float) -> Tensor:
    """Returns the features unchanged; their gradient is multiplied by -strength."""
    reversed_features: Tensor = GradientReversal.apply(features, strength)
    return reversed_features


class AdversarialMILoss(PreciseBuffers):
    """Cross entropy of a domain critic behind gradient reversal: minimised by the critic, maximised by the features.

    Without `num_classes` the critic has one output and the features learn to lower I(feature; domain), as published.
    With `num_classes` it has one output per class and they learn to lower I(feature; domain | class), so each class is
    aligned on its own, as in MADA. The class probabilities are then multiplied by the class weights of `balance`, a
    `ClassBalance`: a class that seems to be missing from one domain is not aligned. The critic runs in float32 under
    autocast.

    The attribute `accuracy` is the critic's domain accuracy on the last batch, 0..1, with samples weighted as in the
    loss. It is 0 where no gradient reaches the features, and it is not saved.

    With `num_domains` above 2 several sources are separate domains, which the critic distinguishes from each other and
    from the target. A class that one domain lacks is not aligned in any.

    Args:
        feature_dim: D, at least 1.
        num_classes: K for the conditional (class-wise) form, None for the marginal form.
        hidden: width of the critic's two hidden layers; 512 in the paper.
        momentum: fraction of the old running means that `balance` keeps at each batch, 0..1.
        num_domains: M, at least 2.
        label_smoothing: fraction of a domain label that is spread over all domains, 0..1, as in environment label
            smoothing (ELS), whose gamma is 1 - (M - 1) / M times it. 0 for labels as they are.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Raises:
        ValueError: a number out of range.

    Reference:
        Li et al., IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604. Gradient reversal: Ganin et al.,
        JMLR 2016, arXiv 1505.07818. Class-wise critic: Pei et al., Multi-Adversarial Domain Adaptation, AAAI 2018,
        arXiv 1809.02176. Smoothed domain labels: Zhang et al., Free Lunch for Domain Adversarial Training, ICLR 2023,
        arXiv 2302.00194.

    Examples:
        >>> loss = AdversarialMILoss(feature_dim=4)
        >>> loss(torch.randn(6, 4), domains=torch.tensor([0, 0, 0, 1, 1, 1])).shape
        torch.Size([])
    """

    accuracy: Tensor

    def __init__(
        self,
        feature_dim: int,
        num_classes: int | None = None,
        hidden: int = 512,
        momentum: float = 0.95,
        num_domains: int = 2,
        label_smoothing: float = 0.0,
        validate_args: bool = True,
    ) -> None:
        super().__init__()
        if num_domains < 2:
            raise ValueError(f"num_domains must be at least 2, got {num_domains}")
        check_sizes(feature_dim=feature_dim, num_classes=num_classes, hidden=hidden)
        check_fractions(momentum=momentum, label_smoothing=label_smoothing)
        self.feature_dim, self.num_classes, self.num_domains = feature_dim, num_classes, num_domains
        self.label_smoothing, self.validate_args = label_smoothing, validate_args
        outputs = (num_classes or 1) * (1 if num_domains == 2 else num_domains)
        self.critic = Discriminator(in_size=feature_dim, h=hidden, out_size=outputs)
        self.balance = None if num_classes is None else ClassBalance(num_domains, num_classes, momentum)
        self.register_buffer("accuracy", torch.zeros((), dtype=torch.float32), persistent=False)

    @validated
    def forward(
        self,
        features: Tensor,
        domains: Tensor,
        class_probs: Tensor | None = None,
        strength: float = 1.0,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Returns the critic's cross entropy in nats, a scalar; 0 with a gradient on an empty batch.

        Args:
            features: shape (N, D), floating point, one sample a row.
            domains: shape (N,), integer, 0..M-1.
            class_probs: shape (N, K), 0..1; required by the conditional form, ignored by the marginal form. No gradient
                flows into it.
            strength: factor >= 0 on the reversed gradient that reaches the features.
            weights: shape (N,), 0..1, weight of each sample in the conditional form; None for 1. The class balance does
                not use them: it measures how frequent classes are, not how certain predictions are.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature, missing class_probs.
            TypeError: features or weights that are not floating point, domains that are not integers.
        """
        check_features(features, self.feature_dim)
        if weights is not None:
            check_weights(weights, len(features))
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        domains = check_labels(domains, len(features), self.num_domains, name="domains")
        with torch.autocast(features.device.type, enabled=False):
            logits = in_float32(self.critic, reversed_gradient(features.float(), strength))
            of_domains = () if self.num_domains == 2 else (self.num_domains,)
            if self.balance is None:
                logits = logits.view(-1, *of_domains)
                loss = domain_cross_entropy(logits, domains, self.label_smoothing)
                self._note_accuracy(logits, domains, None, strength)
                return loss
            if class_probs is None:
                wanted = (len(features), self.num_classes)
                raise ValueError(f"class_probs must have shape {wanted} for the conditional form, got None")
            probs = check_class_probs(class_probs, len(features), self.balance.num_classes)
            with torch.no_grad():
                of_domain = members(domains, self.num_domains).to(probs)
                balanced = probs * self.balance.weigh(probs, of_domain)
                balanced = balanced if weights is None else balanced * weights.float()[:, None]
            logits = logits.view(-1, self.balance.num_classes, *of_domains)
            self._note_accuracy(logits, domains[:, None], balanced, strength)
            return weighted_cross_entropy(logits, domains, balanced, of_domain, self.label_smoothing)

    @torch.no_grad()
    def _note_accuracy(self, logits: Tensor, domains: Tensor, weights: Tensor | None, strength: float) -> None:
        if strength == 0:
            set_state(self, "accuracy", torch.zeros_like(self.accuracy))
            return
        predicted = logits.argmax(-1) if self.num_domains > 2 else logits > 0
        is_correct = predicted == domains
        mean = is_correct.mean(dtype=torch.float32) if weights is None else (is_correct * weights).sum() / weights.sum()
        set_state(self, "accuracy", mean.nan_to_num())  # 0 / 0 without weights
