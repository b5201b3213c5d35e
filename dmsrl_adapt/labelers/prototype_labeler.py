"""Pseudo labels by the nearest class prototype, kept for every target sample."""

import copy
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..checks import check_features, check_has_values, check_labels, check_sizes
from ..processes import is_shared, summed_over_processes
from .class_prototypes import present_sums
from .faiss_search import DEVICES, PartIndex
from .nearest_prototypes import NearestPrototypes, in_parts
from .neighbour_memory import NeighbourMemory, vote
from .pseudo_labels import PseudoLabels

WORK = 64  # numbers, amply counted, that it takes to look at a label
PATIENCE = 100  # calls without a label before that is said
UNSEEN = -2  # label of a sample that a pass has not come to


class PrototypeLabeler(NearestPrototypes):
    r"""Labels a target sample by its nearest class prototype, searched with FAISS, and keeps the label of each sample.

    Prototypes are running means of the features of labelled source samples and of trusted target samples; with several
    a class, a sample moves the nearest of its own class. The trust in a label is the gap between the nearest and the
    second nearest class,

    $$ w = 1 - d_1 / d_2, \quad 0 \le w \le 1, $$

    It is 0 where both distances are the same but for what float32 rounds, as those of features that have collapsed to a
    point. A sample is rejected where w is below `threshold` times the running mean of w over samples with its label, so
    that a class that is hard to tell keeps samples. Every class has the same say however many samples it has: nothing
    assumes that the target's classes are equally frequent, nor that they are as frequent as the source's. Every sample
    is rejected until a sample of each class has been seen: else, with a source in the order of its labels, all target
    samples would go to its first classes. So the source must have samples of all K classes; the target need not.

    With `neighbours` the features of target samples are kept, and a sample's label is what most of its nearest ones are
    by the prototypes: see `vote`, whose lead is the trust then. On features that were trained on the source alone more
    labels are right than by prototypes alone (`python -m benchmarks labels`).

    The state is buffers only: it belongs in `misc`, is saved in checkpoints, follows the features to their device, and
    takes 8 bytes a target sample; with neighbours 4 D + 9, and as much again while `relabel` runs. Everything is
    float32, also where the modules are turned to another type.

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

    Examples:
        >>> labeler = PrototypeLabeler(num_classes=2, feature_dim=2, num_target=10)
        >>> labeler.update(torch.eye(2), torch.tensor([0, 1]))
        >>> labeler(torch.tensor([[3.0, 0.1]]), sample_idx=torch.tensor([7])).labels
        tensor([0])
        >>> labeler.labels[7].item()
        0
    """

    mean_confidence: Tensor
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
        super().__init__(num_classes, feature_dim, prototypes_per_class, metric, momentum)
        check_sizes(num_target=num_target)
        if device not in DEVICES:
            raise ValueError(f"device must be one of {DEVICES}, got {device!r}")
        if threshold < 0:
            raise ValueError(f"threshold must be at least 0, got {threshold}")
        if temp_memory is not None and temp_memory < 0:
            raise ValueError(f"temp_memory must be at least 0 bytes, got {temp_memory}")
        if neighbours < 0:
            raise ValueError(f"neighbours must be at least 0, got {neighbours}")
        self.num_target, self.device, self.threshold = num_target, device, threshold
        self.temp_memory, self.neighbours = temp_memory, neighbours
        self.memory = NeighbourMemory(num_target, feature_dim) if neighbours else None
        self.calls_without = 0  # labels, since some class has not been seen
        self.register_buffer("mean_confidence", torch.zeros(num_classes, dtype=torch.float32))
        self.register_buffer("labels", torch.full((num_target,), -1, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(num_target, dtype=torch.float32))
        self.register_buffer(
            "shares", torch.zeros(2, dtype=torch.float32)
        )  # agreement and share changed of the last call

    @torch.no_grad()
    def forward(
        self, features: Tensor, sample_idx: Tensor | None = None, class_probs: Tensor | None = None
    ) -> PseudoLabels:
        """Returns labels and trust of target samples, and keeps them where `sample_idx` tells which samples they are.

        Every sample is rejected until `update` or `fit` has seen a sample of every class. Where that does not happen in
        100 calls a warning says so once, and names the classes.

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
        self._count_without_labels(1)
        if sample_idx is None:
            return self._without_rejected(self._found(features, *self._searched()))
        if self.memory is not None:
            self.memory.keep(self._rows(features), sample_idx)
        found = self._found(features, *self._searched())
        self._follow_trust(found)
        kept = self._without_rejected(found)
        changed = self.labels[sample_idx] != kept.labels
        counts = torch.stack([found.labels == guesses, changed, torch.ones_like(changed)]).sum(1).float()
        self._note_shares(*summed_over_processes(counts)[0])
        self.labels[sample_idx], self.weights[sample_idx] = kept.labels.int(), kept.weights
        return kept

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

        Examples:
            >>> labeler = PrototypeLabeler(num_classes=2, feature_dim=2, num_target=4)
            >>> labeler.fit(torch.eye(2), torch.tensor([0, 1]))
            >>> labeler.relabel([(torch.eye(2), torch.tensor([3, 1]))])["class_histogram"]
            [1, 1]
            >>> labeler.labels.tolist()
            [-1, 1, -1, 0]
        """
        self._count_without_labels(PATIENCE)
        labels, weights = torch.full_like(self.labels, UNSEEN), torch.zeros_like(self.weights)
        sums, searched = torch.zeros((3, self.num_classes), dtype=torch.float32, device=labels.device), None
        for batch in self._of_pass(batches):
            self.to(batch[0].device)
            labels, weights, sums = (tensor.to(batch[0].device) for tensor in (labels, weights, sums))
            searched = searched or self._searched(is_pass=True)
            for features, sample_idx, guesses in in_parts(self.feature_dim * (1 + self.neighbours), *batch):
                found = self._found(features, *searched)
                labels[sample_idx], weights[sample_idx] = found.labels.int(), found.weights
                counted = torch.stack([found.weights, (found.labels >= 0).float(), (found.labels == guesses).float()])
                sums += torch.zeros_like(sums).index_add_(1, found.labels.clamp(min=0), counted)
        self._keep_pass(labels, weights, sums)
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
        """Returns indices as int64. Raises as `forward` does unless they are `size` integers 0..num_target-1."""
        return check_labels(sample_idx, size, self.num_target, name=f"sample_idx (num_target = {self.num_target})")

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

    def _count_without_labels(self, calls: int) -> None:
        """Warns once where samples have been rejected for long since the source lacks a class."""
        unseen = self._unseen_classes()
        if not unseen or self.calls_without >= PATIENCE:
            return
        self.calls_without += calls if len(unseen) < self.num_classes else 1
        if self.calls_without >= PATIENCE:
            told = ", ".join(map(str, unseen[:10])) + (", ..." if len(unseen) > 10 else "")
            warnings.warn(
                f"PrototypeLabeler rejects every target sample, since it has not seen a sample of class {told} yet: "
                "num_classes must be the number of classes of the source",
                stacklevel=6,
            )

    def _searched(self, is_pass: bool = False) -> tuple[PartIndex | None, PartIndex | None]:
        """Prototypes and remembered samples, ready to be searched; None where there are none."""
        where = "auto" if self.device == "all" and not is_pass else self.device, self.temp_memory
        return self._index(*where), None if self.memory is None else self.memory.index(*where)

    def _found(self, features: Tensor, prototypes: PartIndex | None, others: PartIndex | None) -> PseudoLabels:
        """Class, by the neighbours where they are asked, and trust in it of every sample, before any is rejected."""
        nearest = self._nearest_class(features, prototypes)
        if self.memory is None or prototypes is None or others is None or len(features) == 0:
            return nearest
        _, indices = others.rows.search(self._rows(features), min(self.neighbours, len(others.numbers)))
        voters = self._nearest_class(self.memory.rows[others.numbers[indices.flatten()]], prototypes)
        return PseudoLabels(*vote(voters.labels.view_as(indices), voters.weights.view_as(indices)), nearest.distances)

    def _without_rejected(self, found: PseudoLabels) -> PseudoLabels:
        is_kept = self._is_kept(found.labels, found.weights)
        return PseudoLabels(found.labels.where(is_kept, -1), found.weights.where(is_kept, 0.0), found.distances)

    def _is_kept(self, nearest_class: Tensor, trust: Tensor) -> Tensor:
        known = nearest_class.clamp(min=0)
        return (nearest_class >= 0) & (trust >= self.threshold * self.mean_confidence[known])

    def _follow_trust(self, found: PseudoLabels) -> None:
        trust = found.weights
        present, sums, mass = present_sums(trust[:, None], found.labels, torch.ones_like(trust), self.num_classes)
        kept = ((self.mean_confidence[present] > 0) * self.momentum).to(self.mean_confidence)
        self.mean_confidence[present] = kept * self.mean_confidence[present] + (1 - kept) * sums[:, 0] / mass

    def _keep_pass(self, labels: Tensor, weights: Tensor, sums: Tensor) -> None:
        """Rejects by the mean trust of a pass and keeps its labels.

        sums: shape (3, K), over the samples of a nearest class: of trust, 1, and whether the classifier agrees.
        """
        trust_sums, numbers, agreeing = summed_over_processes(sums)[0]
        self.mean_confidence.copy_((trust_sums / numbers).where(numbers > 0, self.mean_confidence))
        counts = torch.zeros(2, dtype=torch.float32, device=labels.device)
        for new, trust, old in in_parts(WORK, labels, weights, self.labels):
            is_kept, is_labelled = self._is_kept(new, trust), new != UNSEEN
            new.copy_(new.where(is_kept | ~is_labelled, -1))
            trust.copy_(trust.where(is_kept, 0.0))
            counts += torch.stack([is_labelled & (new != old), is_labelled]).sum(1)
        (counts,) = summed_over_processes(counts)
        self._note_shares(agreeing.sum(), *counts)
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
