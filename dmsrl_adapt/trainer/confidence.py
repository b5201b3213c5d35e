"""Probabilities that a label is right, without labels of the target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment import RandomAffine, RandomConvolution

VIEWS, NEIGHBOURS = 4, 10
WEIGHTS = (0.5, 0.25, 0.25)  # of the sample itself, its views and its neighbours
LEAST = 1e-6  # probability; below it a logarithm says nothing more
HALVINGS = 30
HOTTEST = 50.0


@dataclass(frozen=True)
class Seen:
    """Outputs for some samples.

    features: shape (N, D).
    logits: shape (N, K).
    views: logits of augmented views, shape (V, N, K), or None.
    """

    features: Tensor
    logits: Tensor
    views: Tensor | None = None

    @classmethod
    def joined(cls, parts: Sequence["Seen"]) -> "Seen":
        """Returns the outputs for all samples of several parts."""
        views = [part.views for part in parts if part.views is not None]
        features, logits = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "logits"))
        return cls(features, logits, torch.cat(views, dim=1) if views else None)


@dataclass(frozen=True)
class Confidence:
    r"""Class probabilities from three predictions that need not agree: of a sample, its views and its neighbours.

    $$ q_k \propto \exp \frac{1}{T} \left( \tfrac12 \log p_k + \tfrac14 \log \bar p^{views}_k
    + \tfrac14 \log \bar p^{neighbours}_k \right) $$

    p is the softmax of the logits, and the others are means over augmented views and over the most similar samples of
    the target. T is such that the mean confidence on the target equals the agreement of the classes of two views, or of
    a view and a neighbour, whichever is less; it is at least 1. Without views T is 1.

    temperature: T.
    plain_temperature: likewise for the softmax alone.
    agreement: see above, 0..1; None without views. An estimate of the accuracy on the target.
    features: of samples of the target, float16 (M, D), normalised; empty for no neighbours.
    probs: their softmax, float16 (M, K).

    Reference:
        Jiang et al., Assessing Generalization via Disagreement, ICLR 2022, arXiv 2106.13799, for agreement as an
        estimate of accuracy.
    """

    temperature: float = 1.0
    plain_temperature: float = 1.0
    agreement: float | None = None
    features: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    probs: Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    @classmethod
    def fit(cls, seen: Seen) -> "Confidence":
        """Returns the confidence for samples of the target, without their labels."""
        features, probs = F.normalize(seen.features.float(), dim=1), seen.logits.float().softmax(1)
        bank = cls(features=features.half(), probs=probs.half())
        if seen.views is None or len(features) < 2:
            return bank
        near = neighbours(features, features, is_bank=True)
        agreement = agreement_of(seen.logits.argmax(1), seen.views.argmax(2), near)
        labels, mixed = seen.logits.argmax(1)[:, None], bank.mixed(seen, near)

        def mean_at(scores: Tensor) -> Callable[[float], float]:
            return lambda T: float((scores / T).softmax(1).gather(1, labels).mean())

        temperature, plain = (matching(mean_at(one), agreement) for one in (mixed, seen.logits.float()))
        return cls(temperature, plain, agreement, bank.features, bank.probs)

    def __call__(self, seen: Seen) -> Tensor:
        """Returns class probabilities, float32 (N, K)."""
        near = neighbours(F.normalize(seen.features.float(), dim=1), self.features.float())
        return (self.mixed(seen, near) / self.temperature).softmax(1)

    def mixed(self, seen: Seen, near: Tensor) -> Tensor:
        """Returns the mean logarithms of the three predictions, float32 (N, K).

        Args:
            seen: outputs for the samples.
            near: places of their neighbours, int64 (N, n).
        """
        parts = [seen.logits.float().softmax(1)]
        weights = [WEIGHTS[0]]
        if seen.views is not None:
            parts.append(seen.views.float().softmax(2).mean(0))
            weights.append(WEIGHTS[1])
        if near.shape[1]:
            parts.append(self.probs.float()[near].mean(1))
            weights.append(WEIGHTS[2])
        logs = (weight * part.clamp(min=LEAST).log() for weight, part in zip(weights, parts, strict=True))
        return torch.stack(list(logs)).sum(0) / sum(weights)

    @property
    def description(self) -> str:
        """A sentence on how it was calibrated."""
        if self.agreement is None:
            return "No augmented views were at hand, so it was not calibrated."
        return (
            "It was calibrated without labels: predictions of augmented views and of similar images of the target "
            f"agree in {100 * self.agreement:.1f} % of the cases, which sets a temperature of {self.temperature:.2f}."
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns plain values and tensors for a file."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Confidence":
        """Returns what `state_dict` has described."""
        return cls(**state)


def neighbours(features: Tensor, bank: Tensor, is_bank: bool = False) -> Tensor:
    """Returns the places of the most similar samples of a bank, int64 (N, n), n at most 10.

    Args:
        features: normalised, shape (N, D).
        bank: normalised, shape (M, D).
        is_bank: whether both are the same samples, none of which is then its own neighbour.
    """
    count = min(NEIGHBOURS, len(bank) - int(is_bank))
    if count < 1:
        return torch.zeros(len(features), 0, dtype=torch.int64)
    similar = features @ bank.T
    if is_bank:
        similar.fill_diagonal_(-2.0)
    return similar.topk(count).indices


def agreement_of(labels: Tensor, views: Tensor, near: Tensor) -> float:
    """Returns how often the classes of two views, or of a view and a neighbour, are the same, whichever is less.

    Args:
        labels: of the samples, int64 (N,).
        views: of their views, int64 (V, N), V at least 2.
        near: places of their neighbours, int64 (N, n).

    Examples:
        >>> agreement_of(torch.tensor([0, 1]), torch.tensor([[0, 1], [0, 0]]), torch.tensor([[0], [1]]))
        0.5
    """
    pairs = [(views[i] == views[j]).float().mean() for i in range(len(views)) for j in range(i)]
    of_neighbours = (views[:, :, None] == labels[near]).float().mean()
    return float(torch.stack([torch.stack(pairs).mean(), of_neighbours]).min())


def matching(mean_at: Callable[[float], float], wanted: float) -> float:
    """Returns the temperature, at least 1, at which a mean confidence is as wanted.

    Args:
        mean_at: mean confidence at a temperature, which falls with it.
        wanted: 0..1.
    """
    low, high = 1.0, HOTTEST
    if mean_at(low) <= wanted:
        return low
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if mean_at(middle) > wanted else (low, middle)
    return low


def view_of(images: Tensor, number: int) -> Tensor:
    """Returns augmented images, the same at every call.

    Args:
        images: inputs of a network, float32 (N, C, H, W).
        number: of the view.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        view: Tensor = RandomConvolution()(RandomAffine()(images.cpu()))
    return view.to(images.device)
