"""Prototypes of classes, and the class of the nearest, searched with FAISS."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_features, check_fractions, check_labels, check_sizes, check_weights
from ..precision import PreciseBuffers
from ..processes import is_shared, of_all_processes
from .class_prototypes import class_sums, clusters_within_classes, present_sums
from .faiss_search import METRICS, FlatIndex, PartIndex
from .pseudo_labels import PseudoLabels

CELLS = 2**23  # numbers at work at a time, 32 MiB: memory does not grow with the batches


class NearestPrototypes(PreciseBuffers):
    """Keeps the prototypes of classes, and finds the class of the nearest with the trust in it.

    The part of `PrototypeLabeler` that knows classes, and no target samples. See there for the arguments, the trust,
    and what processes of a group share.
    """

    prototypes: Tensor
    is_seen: Tensor

    def __init__(
        self, num_classes: int, feature_dim: int, prototypes_per_class: int, metric: str, momentum: float
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, feature_dim=feature_dim, prototypes_per_class=prototypes_per_class)
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {METRICS}, got {metric!r}")
        check_fractions(momentum=momentum)
        self.num_classes, self.feature_dim = num_classes, feature_dim
        self.prototypes_per_class, self.metric, self.momentum = prototypes_per_class, metric, momentum
        # row k P + p is prototype p of class k
        self.register_buffer(
            "prototypes", torch.zeros(num_classes * prototypes_per_class, feature_dim, dtype=torch.float32)
        )
        self.register_buffer("is_seen", torch.zeros(num_classes * prototypes_per_class, dtype=torch.bool))
        self.knows_all = False  # kept on the host, since it stays true: asking the device means waiting for it

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
        rows, labels, weights = self._checked(features, labels, weights)
        owners = self._nearest_of_class(rows, labels)
        present, sums, mass = present_sums(rows, owners, weights, len(self.prototypes))
        kept = (self.is_seen[present] * self.momentum).to(self.prototypes)[:, None]
        self.prototypes[present] = kept * self.prototypes[present] + (1 - kept) * sums / mass[:, None]
        self.is_seen[present] = True

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Sets the prototypes of every class in the batch anew: the mean of its features or, with several prototypes a
        class, the means of the clusters that k-means finds among them.

        For as large a batch as there is memory for: the whole source or a random part of it, together with target
        samples under the labels and weights of a pass. With two prototypes a class those may then find modes of their
        own. In a process group k-means runs over each process's share, and once more over the clusters of all,
        which gives those of one process where the modes of a class are apart.

        Args and Raises: those of `update`.
        """
        rows, labels, weights = self._checked(features, labels, weights)
        settings = self.num_classes, self.prototypes_per_class, self.metric == "cosine"
        sums, mass = self._sums(rows, clusters_within_classes(rows, labels, weights, *settings), weights)
        if is_shared():
            sums, mass = of_all_processes(sums), of_all_processes(mass)
            means = (sums / mass.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).where(mass[:, None] > 0, 0.0)
            classes = torch.arange(len(mass), device=mass.device) % len(self.prototypes) // self.prototypes_per_class
            sums, mass = self._sums(means, clusters_within_classes(means, classes, mass, *settings), mass)
        present = (mass.view(self.num_classes, -1).sum(1) > 0).repeat_interleave(self.prototypes_per_class)
        means = (sums / mass[:, None]).where(mass[:, None] > 0, 0.0)
        self.prototypes.copy_(means.where(present[:, None], self.prototypes))
        self.is_seen.copy_((mass > 0).where(present, self.is_seen))

    def _checked(self, features: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Rows as prototypes are made of, labels as int64 and weights, in float32; the state goes where they are."""
        check_features(features, self.feature_dim)
        labels = check_labels(labels, len(features), self.num_classes, lowest=-1)
        weights = torch.ones(len(features), dtype=torch.float32, device=features.device) if weights is None else weights
        check_weights(weights, len(features))
        self.to(features.device)
        return self._rows(features), labels, weights.float()

    def _rows(self, features: Tensor) -> Tensor:
        """What prototypes are means of, in float32: directions, or the features themselves."""
        return F.normalize(features.float(), dim=1) if self.metric == "cosine" else features.float()

    def _nearest_of_class(self, rows: Tensor, labels: Tensor) -> Tensor:
        """The row of the nearest prototype of the sample's own class, the first before there is one; -1 without label.

        rows: shape (N, D), as `_checked` gives them.
        """
        if self.prototypes_per_class == 1:
            return labels
        own = labels.clamp(min=0)[:, None] * self.prototypes_per_class
        own = own + torch.arange(self.prototypes_per_class, device=labels.device)
        away = torch.stack([(rows - self._rows(self.prototypes[column])).square().sum(1) for column in own.t()], 1)
        first = away.where(self.is_seen[own], torch.inf).argmin(1, keepdim=True)
        return own.gather(1, first)[:, 0].where(labels >= 0, -1)

    def _sums(self, rows: Tensor, owners: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """What `class_sums` gives for any number of rows, without a table of all rows and prototypes."""
        sums, mass = torch.zeros_like(self.prototypes), torch.zeros_like(self.prototypes[:, 0])
        for some, of_some, weighing in in_parts(max(sums.shape), rows, owners, weights):
            part = class_sums(some, of_some, weighing, len(sums))
            sums, mass = sums + part[0], mass + part[1]
        return sums, mass

    def _unseen_classes(self) -> list[int]:
        """Classes of which no sample has been seen."""
        if self.knows_all:
            return []
        unseen: list[int] = (~self.is_seen.view(self.num_classes, -1).any(1)).nonzero()[:, 0].tolist()
        self.knows_all = not unseen
        return unseen

    def _load_from_state_dict(self, *args: Any) -> None:
        self.knows_all = False
        super()._load_from_state_dict(*args)

    def _index(self, device: str, temp_memory: int | None) -> PartIndex | None:
        """The prototypes that are set; None before every class is seen. Arguments are those of `FlatIndex`."""
        if self._unseen_classes():
            return None
        seen = self.is_seen.nonzero()[:, 0]
        return PartIndex(seen, FlatIndex(self.prototypes[seen], self.metric, device, temp_memory))

    def _nearest_class(self, features: Tensor, prototypes: PartIndex | None) -> PseudoLabels:
        """Nearest class, trust in it and distance to it of every sample; none is rejected once all classes are seen."""
        if prototypes is None:
            nothing = torch.zeros(len(features), dtype=torch.float32, device=features.device)
            return PseudoLabels(nothing.long() - 1, nothing, nothing + torch.inf)
        # a class has no more than P prototypes, so the one after them is another's
        count = min(self.prototypes_per_class + 1, len(prototypes.numbers))
        distances, indices = prototypes.rows.search(features, count)
        classes = prototypes.numbers[indices] // self.prototypes_per_class
        is_other = classes != classes[:, :1]
        first, second = distances[:, 0], distances.gather(1, is_other.int().argmax(1, keepdim=True))[:, 0]
        is_nearer = second - first > self._rounding(features, second)
        ratio = torch.where(is_nearer, first / second, 1.0).where(is_other.any(1), 0.0)
        return PseudoLabels(classes[:, 0], (1 - ratio).clamp(0, 1), first)

    def _rounding(self, features: Tensor, distances: Tensor) -> Tensor:
        """How far apart distances may come out that are the same, since float32 rounds the sums that make them.

        A sum of D products of numbers is rounded by some sqrt(D) eps times their squared lengths: 1 each for "cosine",
        for "l2" those of the sample and of a prototype as far from it as `distances`, shape (N,), says.
        """
        rounding = torch.finfo(torch.float32).eps * (4 + self.feature_dim**0.5)
        if self.metric == "cosine":
            return torch.full_like(distances, rounding)
        return 3 * rounding * (features.float().square().sum(1) + distances)


def in_parts(width: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Returns tensors of one length in parts of at most `CELLS` numbers, for rows of `width` numbers."""
    size = max(CELLS // width, 1)
    for start in range(0, len(tensors[0]), size):
        yield tuple(tensor[start : start + size] for tensor in tensors)
