"""Pseudo labels by the nearest class prototype, kept for every target sample."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_features, check_has_values, check_labels, check_weights
from .class_prototypes import (
    class_sums,
    clusters_within_classes,
    is_shared,
    of_all_processes,
    present_sums,
    summed_over_processes,
)
from .faiss_search import DEVICES, METRICS, FlatIndex
from .neighbour_memory import NeighbourMemory, vote
from .pseudo_labels import PseudoLabels

CELLS = 2**23  # numbers at work at a time in a pass, 32 MiB: memory does not grow with the batches
WORK = 64  # numbers, amply counted, that it takes to look at a label
UNSEEN = -2  # label of a sample that a pass has not come to


class Index(NamedTuple):
    """What is searched for labels.

    seen: rows of the prototypes that are set.
    prototypes: these, ready to be searched.
    others: samples that are remembered and their rows ready to be searched; None without any.
    """

    seen: Tensor
    prototypes: FlatIndex
    others: tuple[Tensor, FlatIndex] | None


class PrototypeLabeler(nn.Module):
    r"""Labels a target sample by its nearest class prototype, searched with FAISS, and keeps the label of each sample.

    Prototypes are running means of the features of labelled source samples and of trusted target samples; with several
    a class, a sample moves the nearest of its own class. The trust in a label is the gap between the nearest and the
    second nearest class,

    $$ w = 1 - d_1 / d_2, \quad 0 \le w \le 1, $$

    and a sample is rejected where w is below `threshold` times the running mean of w over samples with its label, so
    that a class that is hard to tell keeps samples. Every class has the same say however many samples it has: nothing
    assumes that the target's classes are equally frequent, nor that they are as frequent as the source's.

    With `neighbours` the features of target samples are kept, and a sample's label is what most of its nearest ones are
    by the prototypes: see `vote`, whose lead is the trust then. On features that were trained on the source alone more
    labels are right than by prototypes alone (`python -m benchmarks labels`).

    The state is buffers only: it belongs in `misc`, is saved in checkpoints, follows the features to their device, and
    takes 8 bytes a target sample; with neighbours 4 D + 9, and as much again while `relabel` runs. Everything is
    float32.

    In a process group all processes have to make the same calls, each with its own share of the samples: the others
    wait for one that makes fewer. One that has no batch left goes on with empty ones, features of shape (0, D);
    `relabel` takes any number of batches in each. Sums and counts are then added up over the processes, so that
    prototypes and mean trust are the same everywhere, and those of one process with all samples. A process keeps the
    labels of the samples it was given; after a pass of `relabel` over the whole target every process has all of them.
    Features are not exchanged: neighbours are looked for among the samples that the process itself was given, so labels
    by them depend on how the samples are shared out.

    Args:
        num_classes: K, at least 1. With one class every label is 0 with trust 1.
        feature_dim: D, at least 1.
        num_target: number of samples in the target data set, at least 1.
        prototypes_per_class: P, at least 1. Above 1 a class has one prototype until `fit` finds the others.
        metric: "cosine" (distance 1 - cos, 0..2) or "l2" (squared Euclidean distance, squared feature units).
        device: where FAISS searches: "auto" for the features' device, "cpu" for the CPU, "all" for all GPUs in
            `relabel` and the features' device otherwise; see `FlatIndex`.
        momentum: share of the old prototype kept at an update, 0..1.
        threshold: share of a class's mean trust below which a sample is rejected, at least 0; 0 rejects none, much more
            than 1 all of a class that is easy to tell.
        temp_memory: bytes of scratch memory that FAISS may take on a GPU; None leaves it to FAISS.
        neighbours: m, at least 0: how many vote, the nearest of the target samples that were given so far, the sample
            itself among them. They are searched with FAISS too, where and as prototypes are, in time that grows with
            their number. 0 asks none and keeps no features.

    Example:
        >>> labeler = PrototypeLabeler(num_classes=2, feature_dim=2, num_target=10)
        >>> labeler.update(torch.eye(2), torch.tensor([0, 1]))
        >>> labeler(torch.tensor([[3.0, 0.1]]), sample_idx=torch.tensor([7])).labels
        tensor([0])
        >>> labeler.labels[7].item()
        0
    """

    prototypes: Tensor
    is_seen: Tensor
    mean_trust: Tensor
    labels: Tensor
    weights: Tensor
    shares: Tensor

    _record_these: ClassVar = ["diagnostics"]  # for upstream's IgniteRecordKeeperLogger

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        num_target: int,
        prototypes_per_class: int = 1,
        metric: str = "cosine",
        device: str = "auto",
        momentum: float = 0.9,
        threshold: float = 0.5,
        temp_memory: int | None = None,
        neighbours: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes, "feature_dim": feature_dim, "num_target": num_target}
        for name, value in {**sizes, "prototypes_per_class": prototypes_per_class}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, choice, choices in (("metric", metric, METRICS), ("device", device, DEVICES)):
            if choice not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {choice!r}")
        if not 0 <= momentum <= 1 or threshold < 0:
            raise ValueError(f"momentum must be in 0..1 and threshold at least 0, got {momentum} and {threshold}")
        if temp_memory is not None and temp_memory < 0:
            raise ValueError(f"temp_memory must be at least 0 bytes, got {temp_memory}")
        if neighbours < 0:
            raise ValueError(f"neighbours must be at least 0, got {neighbours}")
        self.num_classes, self.feature_dim, self.num_target = num_classes, feature_dim, num_target
        self.prototypes_per_class, self.metric, self.device = prototypes_per_class, metric, device
        self.momentum, self.threshold, self.temp_memory, self.neighbours = momentum, threshold, temp_memory, neighbours
        self.memory = NeighbourMemory(num_target, feature_dim) if neighbours else None
        # row k P + p is prototype p of class k
        self.register_buffer("prototypes", torch.zeros(num_classes * prototypes_per_class, feature_dim))
        self.register_buffer("is_seen", torch.zeros(num_classes * prototypes_per_class, dtype=torch.bool))
        self.register_buffer("mean_trust", torch.zeros(num_classes))
        self.register_buffer("labels", torch.full((num_target,), -1, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(num_target))
        self.register_buffer("shares", torch.zeros(2))  # agreement and share changed of the last call

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
        kept = torch.where(self.is_seen[present], self.momentum, 0.0)[:, None]
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
            means = (sums / mass.clamp(min=torch.finfo().tiny)[:, None]).where(mass[:, None] > 0, 0.0)
            classes = torch.arange(len(mass), device=mass.device) % len(self.prototypes) // self.prototypes_per_class
            sums, mass = self._sums(means, clusters_within_classes(means, classes, mass, *settings), mass)
        present = (mass.view(self.num_classes, -1).sum(1) > 0).repeat_interleave(self.prototypes_per_class)
        means = (sums / mass[:, None]).where(mass[:, None] > 0, 0.0)
        self.prototypes.copy_(means.where(present[:, None], self.prototypes))
        self.is_seen.copy_((mass > 0).where(present, self.is_seen))

    @torch.no_grad()
    def forward(
        self, features: Tensor, sample_idx: Tensor | None = None, class_probs: Tensor | None = None
    ) -> PseudoLabels:
        """Gives labels and trust of target samples, and keeps them where `sample_idx` tells which samples they are.

        Before any class has been seen by `update` every sample is rejected.

        Args:
            features: shape (N, D), floating point, one sample a row. No gradient flows through the labels.
            sample_idx: shape (N,), integer, 0..num_target-1, index in the target data set; None keeps nothing and
                leaves the state as it was.
            class_probs: shape (N, K), what the classifier says; for `diagnostics` alone, None where nobody asks it.

        Raises:
            ValueError: wrong shape, index out of range, NaN or infinite feature; nothing is kept then.
            TypeError: wrong kind of tensor.
        """
        sample_idx, guesses = self._checked_call(features, sample_idx, class_probs)
        self.to(features.device)
        if self.memory is not None and sample_idx is not None:
            self.memory.keep(self._rows(features), sample_idx)
        nearest_class, trust, distances = self._label(features, self._index())
        if sample_idx is not None:
            self._follow_trust(nearest_class, trust)
        kept = self._is_kept(nearest_class, trust)
        result = PseudoLabels(nearest_class.where(kept, -1), trust.where(kept, 0.0), distances)
        if sample_idx is not None:
            changed = self.labels[sample_idx] != result.labels
            counts = torch.stack([nearest_class == guesses, changed, torch.ones_like(changed)]).sum(1).float()
            self._note_shares(*summed_over_processes(counts)[0])
            self.labels[sample_idx], self.weights[sample_idx] = result.labels.int(), result.weights
        return result

    @torch.no_grad()
    def relabel(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Any]:
        """Labels the target in one pass with the prototypes as they are, keeps the labels, and gives `diagnostics`.

        A class's threshold follows the mean trust of the whole pass, which becomes its running mean. Samples that the
        pass leaves out keep the labels they had. While the pass runs memory grows with the target by 16 bytes a sample;
        no features are kept, but with neighbours, who are then looked for among all samples of the pass. Of two labels
        that processes of a group give one sample the larger counts.

        Args:
            batches: tuples of (features, sample_idx) or (features, sample_idx, class_probs) as `forward` takes them,
                of any length.

        Raises:
            ValueError: wrong shape, index out of range, NaN or infinite feature; nothing is kept then.
            TypeError: wrong kind of tensor, likewise.

        Example:
            >>> labeler = PrototypeLabeler(num_classes=2, feature_dim=2, num_target=4)
            >>> labeler.fit(torch.eye(2), torch.tensor([0, 1]))
            >>> labeler.relabel([(torch.eye(2), torch.tensor([3, 1]))])["class_histogram"]
            [1, 1]
            >>> labeler.labels.tolist()
            [-1, 1, -1, 0]
        """
        labels, weights = torch.full_like(self.labels, UNSEEN), torch.zeros_like(self.weights)
        totals = torch.zeros((3, self.num_classes), device=labels.device)
        index = None
        for features, sample_idx, guesses in self._of_pass(batches):
            self.to(features.device)
            labels, weights, totals = (tensor.to(features.device) for tensor in (labels, weights, totals))
            index = self._index(is_pass=True) if index is None else index
            for rows, numbers, guess in in_parts(
                self.feature_dim * (1 + self.neighbours), features, sample_idx, guesses
            ):
                nearest_class, trust, _ = self._label(rows, index)
                labels[numbers], weights[numbers] = nearest_class.int(), trust
                counted = torch.stack([trust, (nearest_class >= 0).float(), (nearest_class == guess).float()])
                totals += torch.zeros_like(totals).index_add_(1, nearest_class.clamp(min=0), counted)
        self._keep_pass(labels, weights, totals)
        return self.diagnostics

    @property
    def diagnostics(self) -> dict[str, Any]:
        """What the labels are like, as plain numbers, which upstream's `IgniteRecordKeeperLogger` logs.

        share_kept: share of the target's samples that have a label, 0..1.
        class_histogram: number of samples of each label, a list of length K.
        agreement: share of the samples of the last call or pass whose nearest class is the classifier's, 0..1; 0 where
            `class_probs` were not given.
        share_changed: share of these samples that had another label, or none, when they were labelled before, 0..1.
        """
        histogram = torch.zeros(self.num_classes + 1, dtype=torch.long, device=self.labels.device)
        for (part,) in in_parts(WORK, self.labels):
            histogram += torch.bincount(part + 1, minlength=self.num_classes + 1)
        histogram = histogram[1:]
        agreement, share_changed = self.shares.tolist()
        return {
            "share_kept": histogram.sum().item() / self.num_target,
            "class_histogram": histogram.tolist(),
            "agreement": agreement,
            "share_changed": share_changed,
        }

    def check_sample_idx(self, sample_idx: Tensor, size: int) -> Tensor:
        """Gives indices as int64. Raises as `forward` does unless they are `size` integers 0..num_target-1."""
        return check_labels(sample_idx, size, self.num_target, name=f"sample_idx (num_target = {self.num_target})")

    def _checked(self, features: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Rows as prototypes are made of, labels as int64 and weights, in float32; the state goes where they are."""
        check_features(features, self.feature_dim)
        labels = check_labels(labels, len(features), self.num_classes, lowest=-1)
        weights = torch.ones(len(features), device=features.device) if weights is None else weights
        check_weights(weights, len(features))
        self.to(features.device)
        return self._rows(features), labels, weights.float()

    def _checked_call(
        self, features: Tensor, sample_idx: Tensor | None, class_probs: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """Indices as int64, and the classifier's classes, -2 where it says nothing."""
        check_features(features, self.feature_dim)
        if sample_idx is not None:
            sample_idx = self.check_sample_idx(sample_idx, len(features))
        if class_probs is None:
            return sample_idx, torch.full((len(features),), UNSEEN, device=features.device)
        if class_probs.ndim != 2 or len(class_probs) != len(features):
            raise ValueError(f"class_probs must have shape ({len(features)}, K), got {tuple(class_probs.shape)}")
        check_has_values(class_probs, "class_probs")
        return sample_idx, class_probs.argmax(1)

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

    def _of_pass(self, batches: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Features, indices and the classifier's classes of every batch; out of the memory where there is one, which
        then holds those of all batches already."""
        if self.memory is None:
            yield from map(self._checked_batch, batches)
            return
        memory, kept = copy.deepcopy(self.memory), []
        for features, *others in map(self._checked_batch, batches):
            memory.to(features.device).keep(self._rows(features), others[0])
            kept.append(others)
        self.memory = memory
        for sample_idx, guesses in kept:
            yield memory.rows[sample_idx], sample_idx, guesses

    def _checked_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        sample_idx, guesses = self._checked_call(*batch)
        if sample_idx is None:
            raise ValueError("a pass needs sample_idx with every batch, got None")
        return batch[0], sample_idx, guesses

    def _index(self, is_pass: bool = False) -> Index | None:
        """What is searched; None before a class is seen."""
        seen = self.is_seen.nonzero()[:, 0]
        if len(seen) == 0:
            return None
        where = "auto" if self.device == "all" and not is_pass else self.device, self.temp_memory
        others = None if self.memory is None else self.memory.index(*where)
        return Index(seen, FlatIndex(self.prototypes[seen], self.metric, *where), others)

    def _label(self, features: Tensor, index: Index | None) -> tuple[Tensor, Tensor, Tensor]:
        """Class, by the neighbours where they are asked, trust in it, and distance to the nearest of every sample."""
        nearest_class, trust, distances = self._nearest_class(features, index)
        if self.memory is None or index is None or index.others is None or len(features) == 0:
            return nearest_class, trust, distances
        there, others = index.others
        _, indices = others.search(self._rows(features), min(self.neighbours, len(there)))
        classes, trusts, _ = self._nearest_class(self.memory.rows[there[indices.flatten()]], index)
        return *vote(classes.view_as(indices), trusts.view_as(indices)), distances

    def _nearest_class(self, features: Tensor, index: Index | None) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest class, trust in it and distance to it of every sample."""
        if index is None:
            nothing = torch.zeros(len(features), device=features.device)
            return nothing.long() - 1, nothing, nothing + torch.inf
        seen, prototypes, _ = index
        # a class has no more than P prototypes, so the one after them is another's
        distances, indices = prototypes.search(features, min(self.prototypes_per_class + 1, len(seen)))
        classes = seen[indices] // self.prototypes_per_class
        is_other = classes != classes[:, :1]
        first, second = distances[:, 0], distances.gather(1, is_other.int().argmax(1, keepdim=True))[:, 0]
        ratio = torch.where(second > 0, first / second, 1.0).where(is_other.any(1), 0.0)
        return classes[:, 0], (1 - ratio).clamp(0, 1), first

    def _is_kept(self, nearest_class: Tensor, trust: Tensor) -> Tensor:
        known = nearest_class.clamp(min=0)
        return (nearest_class >= 0) & (trust >= self.threshold * self.mean_trust[known])

    def _follow_trust(self, labels: Tensor, trust: Tensor) -> None:
        present, sums, mass = present_sums(trust[:, None], labels, torch.ones_like(trust), self.num_classes)
        kept = torch.where(self.mean_trust[present] > 0, self.momentum, 0.0)
        self.mean_trust[present] = kept * self.mean_trust[present] + (1 - kept) * sums[:, 0] / mass

    def _keep_pass(self, labels: Tensor, weights: Tensor, totals: Tensor) -> None:
        """Rejects by the mean trust of a pass and keeps its labels.

        totals: shape (3, K), sums over the samples of a nearest class: of trust, 1, and whether the classifier agrees.
        """
        (totals,) = summed_over_processes(totals)
        self.mean_trust.copy_((totals[0] / totals[1]).where(totals[1] > 0, self.mean_trust))
        counts = torch.zeros(2, device=labels.device)
        for new, trust, old in in_parts(WORK, labels, weights, self.labels):
            is_kept, is_labelled = self._is_kept(new, trust), new != UNSEEN
            new.copy_(new.where(is_kept | ~is_labelled, -1))
            trust.copy_(trust.where(is_kept, 0.0))
            counts += torch.stack([is_labelled & (new != old), is_labelled]).sum(1)
        (counts,) = summed_over_processes(counts)
        self._note_shares(totals[2].sum(), *counts)
        if is_shared():
            for tensor in (labels, weights):
                dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        for new, trust, old, old_trust in in_parts(WORK, labels, weights, self.labels, self.weights):
            old.copy_(new.where(new != UNSEEN, old))
            old_trust.copy_(trust.where(new != UNSEEN, old_trust))

    def _note_shares(self, agreeing: Tensor, changed: Tensor, number: Tensor) -> None:
        self.shares.copy_((torch.stack([agreeing, changed]) / number).where(number > 0, self.shares))

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, feature_dim={self.feature_dim}, num_target={self.num_target}, "
            f"prototypes_per_class={self.prototypes_per_class}, metric={self.metric!r}, momentum={self.momentum}, "
            f"threshold={self.threshold}, neighbours={self.neighbours}"
        )


def in_parts(width: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Gives tensors of one length a part at a time, of as many rows as make `CELLS` numbers where a row has `width`."""
    size = max(CELLS // width, 1)
    for start in range(0, len(tensors[0]), size):
        yield tuple(tensor[start : start + size] for tensor in tensors)
