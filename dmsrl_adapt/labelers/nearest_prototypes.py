"""Class prototypes, and nearest prototype search with FAISS."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..checks import (
    check_class_probs,
    check_features,
    check_fractions,
    check_labels,
    check_sizes,
    check_weights,
    validated,
)
from ..precision import PreciseBuffers
from ..processes import is_shared, of_all_processes, summed_over_processes
from ..state import set_state
from .class_prototypes import class_sums, clusters_within_classes
from .faiss_search import METRICS, FlatIndex, PartIndex, searchable
from .pseudo_labels import PseudoLabels

CELLS = 2**23  # numbers processed at a time, 32 MiB, so that memory does not grow with the batch


class NearestPrototypes(PreciseBuffers):
    """Class prototypes, and the class of the nearest prototype with its confidence.

    It is the base class of `PrototypeLabeler` without the state of target samples. See there for arguments, confidence
    and process groups.
    """

    prototypes: Tensor
    is_seen: Tensor

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        prototypes_per_class: int,
        metric: str,
        momentum: float,
        validate_args: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, feature_dim=feature_dim, prototypes_per_class=prototypes_per_class)
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {METRICS}, got {metric!r}")
        check_fractions(momentum=momentum)
        self.num_classes, self.feature_dim, self.validate_args = num_classes, feature_dim, validate_args
        self.prototypes_per_class, self.metric, self.momentum = prototypes_per_class, metric, momentum
        # row k P + p is prototype p of class k
        self.register_buffer(
            "prototypes", torch.zeros(num_classes * prototypes_per_class, feature_dim, dtype=torch.float32)
        )
        self.register_buffer("is_seen", torch.zeros(num_classes * prototypes_per_class, dtype=torch.bool))
        self.knows_all = False  # cached on the host, because it stays true and reading the device is slow

    @validated
    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Updates the running means of the classes in the batch with their weighted mean features.

        Args:
            features: shape (N, D), floating point, one sample a row.
            labels: shape (N,), integer, 0..K-1, or -1 for a sample to ignore.
            weights: shape (N,), floating point, 0..1; None for 1.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature; the state is left unchanged.
            TypeError: wrong dtype, or not a tensor.
        """
        labels = self._checked(features, labels, weights)
        self._follow(self._rows(features), labels, weights)

    def _follow(self, rows: Tensor, labels: Tensor, weights: Tensor | None) -> None:
        """Moves prototypes towards the weighted means of rows, as returned by `_rows`, by 1 - momentum; new ones whole.

        labels: int64, -1 for a sample to ignore.
        """
        owners = self._nearest_of_class(rows, labels)
        sums, mass = summed_over_processes(*self._sums(rows, owners, weights))
        # p + s (sum / mass - p), which leaves prototypes without samples as they are; s = 1 for new ones
        column, step = mass[:, None], 1 - self.momentum
        way = torch.addcmul(sums, column, self.prototypes, value=-1)
        if not (self.knows_all and self.prototypes_per_class == 1):
            step, way = 1.0, way * (1 - self.momentum * self.is_seen[:, None].to(mass))
            set_state(self, "is_seen", self.is_seen | (mass > 0))
        moved = self.prototypes.addcdiv(way, column.clamp(min=torch.finfo(mass.dtype).tiny), value=step)
        set_state(self, "prototypes", moved)

    @validated
    @torch.no_grad()
    def update_soft(self, features: Tensor, class_probs: Tensor) -> None:
        r"""Updates the running means of all classes with the means of the features, weighted by class probabilities.

        $$ c_k \leftarrow \beta_k c_k + (1 - \beta_k) \frac{\sum_i p_{ik} f_i}{\sum_i p_{ik}}, \quad
        \beta_k = \beta^{K \sum_i p_{ik} / \sum_{ij} p_{ij}} $$

        beta is `momentum`. A class with an average share of the batch moves as by `update`, a class that the batch
        hardly has hardly moves. For prototypes of the target alone, as in SHOT (Liang et al., ICML 2020, arXiv
        2002.08546), which takes the means over the whole target.

        Args:
            features: shape (N, D), floating point, one sample a row.
            class_probs: p, shape (N, K), 0..1, rows that sum to 1.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature, several prototypes per class; the
                state is left unchanged.
            TypeError: features that are not floating point.
        """
        if self.prototypes_per_class > 1:
            raise ValueError(f"prototypes_per_class must be 1 for update_soft, got {self.prototypes_per_class}")
        check_features(features, self.feature_dim)
        probs = check_class_probs(class_probs, len(features), self.num_classes)
        self.to(features.device)
        with torch.autocast(features.device.type, enabled=False):
            sums, mass = summed_over_processes(probs.t() @ self._rows(features), probs.sum(0))
        tiny = torch.finfo(mass.dtype).tiny
        kept = self.momentum ** (self.num_classes * mass / mass.sum().clamp(min=tiny)) * self.is_seen.to(mass)
        step = (1 - kept) * (mass > 0)
        set_state(self, "prototypes", self.prototypes.lerp(sums / mass.clamp(min=tiny)[:, None], step[:, None]))
        set_state(self, "is_seen", self.is_seen | (mass > 0))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Sets the prototypes of the classes in the batch: mean features, or k-means centres for several prototypes.

        The batch should be large: the whole source or a random part of it, and possibly target samples with the labels
        and weights of `relabel`, for which several prototypes per class can find separate modes. In a process group
        k-means runs on the samples of each process, and then on the clusters of all processes. If the modes of a class
        are well separated, the result is that of a single process.

        Arguments and errors are those of `update`.
        """
        labels = self._checked(features, labels, weights)
        rows = self._rows(features)
        weights = torch.ones_like(rows[:, 0]) if weights is None else weights.float()
        settings = self.num_classes, self.prototypes_per_class, self.metric == "cosine"
        sums, mass = self._sums(rows, clusters_within_classes(rows, labels, weights, *settings), weights)
        if is_shared():
            sums, mass = of_all_processes(sums), of_all_processes(mass)
            means = (sums / mass.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).where(mass[:, None] > 0, 0.0)
            classes = torch.arange(len(mass), device=mass.device) % len(self.prototypes) // self.prototypes_per_class
            sums, mass = self._sums(means, clusters_within_classes(means, classes, mass, *settings), mass)
        present = (mass.view(self.num_classes, -1).sum(1) > 0).repeat_interleave(self.prototypes_per_class)
        means = (sums / mass[:, None]).where(mass[:, None] > 0, 0.0)
        set_state(self, "prototypes", means.where(present[:, None], self.prototypes))
        set_state(self, "is_seen", (mass > 0).where(present, self.is_seen))

    def _checked(self, features: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Returns int64 labels; moves the state to the device of the features."""
        check_features(features, self.feature_dim)
        labels = check_labels(labels, len(features), self.num_classes, lowest=-1)
        if weights is not None:
            check_weights(weights, len(features))
        self.to(features.device)
        return labels

    def _rows(self, features: Tensor) -> Tensor:
        """Returns the rows that prototypes are means of, in float32: unit vectors for "cosine", else the features."""
        return searchable(features, self.metric)

    def _nearest_of_class(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Returns the row of the nearest prototype of each sample's class; the first if none is set, -1 without label.

        rows: shape (N, D), as returned by `_rows`.
        """
        if self.prototypes_per_class == 1:
            return labels
        own = labels.clamp(min=0)[:, None] * self.prototypes_per_class
        own = own + torch.arange(self.prototypes_per_class, device=labels.device)
        away = torch.stack([(rows - self._rows(self.prototypes[column])).square().sum(1) for column in own.t()], 1)
        first = away.where(self.is_seen[own], torch.inf).argmin(1, keepdim=True)
        return own.gather(1, first)[:, 0].where(labels >= 0, -1)

    def _sums(self, rows: Tensor, owners: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns `class_sums` of any number of rows, in parts to limit memory."""
        number = len(self.prototypes)
        weights = None if weights is None else weights.float()
        if len(rows) * max(self.prototypes.shape) <= CELLS:
            return class_sums(rows, owners, weights, number)
        sums, mass = torch.zeros_like(self.prototypes), torch.zeros_like(self.prototypes[:, 0])
        weights = torch.ones_like(rows[:, 0]) if weights is None else weights
        for some, of_some, weighing in in_parts(max(self.prototypes.shape), rows, owners, weights):
            part = class_sums(some, of_some, weighing, number)
            sums, mass = sums + part[0], mass + part[1]
        return sums, mass

    def _unseen_classes(self) -> list[int]:
        """Returns the classes of which no sample has been seen."""
        if self.knows_all:
            return []
        unseen: list[int] = (~self.is_seen.view(self.num_classes, -1).any(1)).nonzero()[:, 0].tolist()
        self.knows_all = not unseen
        return unseen

    def _load_from_state_dict(self, *args: Any) -> None:
        self.knows_all = False
        super()._load_from_state_dict(*args)

    def _index(self, device: str, temp_memory: int | None) -> PartIndex | None:
        """Returns an index of the prototypes; None before all classes are seen. Arguments are those of `FlatIndex`."""
        if self._unseen_classes():
            return None
        if self.prototypes_per_class == 1:
            return PartIndex(None, FlatIndex(self.prototypes, self.metric, device, temp_memory))
        seen = self.is_seen.nonzero()[:, 0]  # waits for the device
        return PartIndex(seen, FlatIndex(self.prototypes[seen], self.metric, device, temp_memory))

    def _nearest_class(self, rows: Tensor, prototypes: PartIndex | None) -> PseudoLabels:
        """Returns nearest class, confidence and distance of each sample; rejects all before every class is seen.

        rows: shape (N, D), as returned by `_rows`.
        """
        if prototypes is None:
            zeros = torch.zeros(len(rows), dtype=torch.float32, device=rows.device)
            return PseudoLabels(zeros.long() - 1, zeros, zeros + torch.inf)
        # a class has at most P prototypes, so P + 1 neighbours include another class
        count = min(self.prototypes_per_class + 1, prototypes.rows.num_references)
        distances, classes = prototypes.rows.search(rows, count)
        if prototypes.numbers is not None:
            classes = prototypes.numbers[classes] // self.prototypes_per_class
        if self.num_classes == 1:
            return PseudoLabels(classes[:, 0], torch.ones_like(distances[:, 0]), distances[:, 0])
        if prototypes.numbers is None:
            first, second = distances.unbind(1)
        else:
            first, second = distances[:, 0], distances.where(classes != classes[:, :1], torch.inf).amin(1)
        gap = second - first
        gap = gap * (gap > self._rounding(rows, first))
        return PseudoLabels(classes[:, 0], gap / second.clamp(min=torch.finfo(gap.dtype).tiny), first)

    def _rounding(self, rows: Tensor, distances: Tensor) -> Tensor | float:
        """Returns a bound on the float32 rounding error of a difference of distances, shape (N,) or one for all.

        The error of a sum of D products is about sqrt(D) eps times the squared norms: 1 for "cosine", and for "l2"
        those of the sample and of a prototype at this distance.
        """
        rounding = torch.finfo(torch.float32).eps * (4 + self.feature_dim**0.5)
        if self.metric == "cosine":
            return rounding
        return 3 * rounding * (rows.square().sum(1) + distances)


def in_parts(width: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yields parts of tensors of equal length, each with about `CELLS` numbers for rows of `width` numbers."""
    size = max(CELLS // width, 1)
    for start in range(0, len(tensors[0]), size):
        yield tuple(tensor[start : start + size] for tensor in tensors)
