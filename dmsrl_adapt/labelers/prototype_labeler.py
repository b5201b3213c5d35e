"""Pseudo labels by the nearest class prototype, stored for every target sample."""

import copy
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..checks import check_features, check_has_values, check_labels, check_sizes, validated
from ..one_hot import members
from ..processes import is_shared, summed_over_processes
from ..state import set_rows, set_state
from .faiss_search import DEVICES, PartIndex
from .nearest_prototypes import NearestPrototypes, in_parts
from .neighbour_memory import NeighbourMemory, vote
from .pseudo_labels import PseudoLabels, with_known

WORK = 64  # generous estimate of the numbers needed to process one label
PATIENCE = 100  # calls without a label before a warning
UNSEEN = -2  # label of a sample that a pass has not reached


class PrototypeLabeler(NearestPrototypes):
    r"""Labels target samples by their nearest class prototype, searched with FAISS, and stores the labels.

    Prototypes are running means of the features of labelled source samples and of target samples with a pseudo label.
    With several prototypes per class, a sample updates the nearest one of its class. The confidence in a label is the
    relative gap between the nearest and the second nearest class,

    $$ w = 1 - d_1 / d_2, \quad 0 \le w \le 1. $$

    It is 0 if both distances are equal up to float32 rounding, as for collapsed features. A sample is rejected if w is
    below `threshold` times the running mean of w over samples with its label, so that classes with low confidence keep
    samples. All classes have the same weight: target classes need not be equally frequent, nor as frequent as in the
    source.

    Every sample is rejected until a sample of each class has been seen. Otherwise, with a source sorted by label, all
    target samples would get one of its first classes. The source must therefore have samples of all K classes; the
    target need not.

    With `neighbours`, target features are stored, and the nearest of them vote on the label of a sample by their own
    nearest prototypes. The confidence is then the lead of the vote, see `vote`. On features trained on the source only,
    these labels are more accurate than those by prototypes alone (`python -m benchmarks labels`).

    The state is buffers only: it belongs in `misc`, is saved in checkpoints, and follows the features to their device.
    It takes 8 bytes per target sample, or 4 D + 9 with neighbours, and `relabel` needs the same once more while it
    runs. All is float32, also where the modules are turned to another type.

    In a process group all processes must make the same calls, each with its own samples; otherwise they wait for each
    other. A process without further batches must continue with empty ones, features of shape (0, D). Only `relabel`
    accepts different numbers of batches. Sums and counts are added over processes, so prototypes and mean confidence
    are the same everywhere, as for one process with all samples. A process stores the labels of its own samples; after
    `relabel` over the whole target every process has all labels. Features are not exchanged: neighbours are searched
    among the samples of the same process, so these labels depend on how samples are distributed.

    Args:
        num_classes: K, at least 1. With one class every label is 0 with confidence 1.
        feature_dim: D, at least 1.
        num_target: number of samples in the target data set, at least 1.
        prototypes_per_class: P, at least 1. Above 1 a class has one prototype until `fit` finds the others.
        metric: "cosine" (distance 1 - cos, 0..2) or "l2" (squared Euclidean distance, squared feature units).
        device: where to search: "auto" for the features' device, "cpu" for the CPU, "all" for all GPUs in `relabel` and
            the features' device otherwise; see `FlatIndex`.
        momentum: fraction of the old prototype kept at an update, 0..1.
        threshold: fraction of a class's mean confidence below which a sample is rejected, at least 0; 0 rejects none.
            Values far above 1 reject whole classes with uniformly high confidence.
        temp_memory: bytes of scratch memory for FAISS on a GPU; None for FAISS's default.
        neighbours: m, at least 0, number of neighbours that vote, among all target samples so far, including the sample
            itself. Their search takes time that grows with the number of samples. 0 for no vote and no stored features.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

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
    fractions: Tensor

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
        validate_args: bool = True,
    ) -> None:
        super().__init__(num_classes, feature_dim, prototypes_per_class, metric, momentum, validate_args)
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
        self.calls_without = 0  # calls without labels, because a class has not been seen
        self.register_buffer("mean_confidence", torch.zeros(num_classes, dtype=torch.float32))
        self.register_buffer("labels", torch.full((num_target,), -1, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(num_target, dtype=torch.float32))
        # agreement and fraction changed of the last call
        self.register_buffer("fractions", torch.zeros(2, dtype=torch.float32))

    @validated
    @torch.no_grad()
    def forward(
        self, features: Tensor, sample_idx: Tensor | None = None, class_probs: Tensor | None = None
    ) -> PseudoLabels:
        """Returns pseudo labels of target samples, and stores them if `sample_idx` is given.

        Every sample is rejected until `update` or `fit` has seen a sample of every class. After 100 calls without that,
        a warning names the missing classes once.

        Args:
            features: shape (N, D), floating point, one sample a row. No gradient flows through the labels.
            sample_idx: shape (N,), integer, 0..num_target-1, index in the target data set; None stores nothing and
                leaves the state unchanged.
            class_probs: shape (N, K), class probabilities of the classifier, for the agreement in `diagnostics` only.

        Raises:
            ValueError: wrong shape, index out of range, NaN or infinite feature; nothing is stored then.
            TypeError: wrong dtype, or not a tensor.
        """
        sample_idx, guesses = self._checked_call(features, sample_idx, class_probs)
        self.to(features.device)
        self._count_without_labels(1)
        rows = self._rows(features)
        if sample_idx is None:
            return self._without_rejected(self._found(rows, *self._searched()))
        return self._labelled(rows, sample_idx, guesses)

    @validated
    @torch.no_grad()
    def step(
        self,
        source: Tensor,
        source_labels: Tensor,
        target: Tensor,
        sample_idx: Tensor,
        class_probs: Tensor,
        known: Tensor | None = None,
    ) -> PseudoLabels:
        """Returns pseudo labels of a target batch, then updates by the source and by the target batch.

        It does what `labeler(target, sample_idx, class_probs)` and two calls of `update` do, with fewer operations.

        Args:
            source: shape (S, D), floating point, one sample a row.
            source_labels: shape (S,), integer, 0..K-1.
            target: shape (N, D), likewise.
            sample_idx: shape (N,), integer, 0..num_target-1.
            class_probs: shape (N, K), class probabilities of the classifier, for the agreement in `diagnostics` only.
            known: shape (N,), integer, class of target samples in the update, -1 for the pseudo label; None for that.

        Raises:
            ValueError: wrong shape, value out of range, NaN or infinite feature; the state is left unchanged.
            TypeError: wrong dtype, or not a tensor.
        """
        check_features(source, self.feature_dim, "source features")
        source_labels = check_labels(source_labels, len(source), self.num_classes, name="source_labels")
        sample_idx = self.check_sample_idx(sample_idx, len(target))
        _, guesses = self._checked_call(target, None, class_probs)
        if known is not None:
            known = check_labels(known, len(target), self.num_classes, lowest=-1, name="known")
        self.to(target.device)
        self._count_without_labels(1)
        of_source, of_target = self._rows(torch.cat([source, target])).split_with_sizes([len(source), len(target)])
        found = self._labelled(of_target, sample_idx, guesses)
        self._follow(of_source, source_labels, None)
        self._follow(of_target, *with_known(known, found.labels, found.weights))
        return found

    def _labelled(self, rows: Tensor, sample_idx: Tensor, guesses: Tensor) -> PseudoLabels:
        """Returns and stores the labels of target samples, given as returned by `_rows`, and follows the batch."""
        if self.memory is not None:
            self.memory.keep(rows, sample_idx)
        found = self._found(rows, *self._searched())
        self._update_mean_confidence(found)
        kept = self._without_rejected(found)
        is_changed = set_rows(self.labels, kept.labels, sample_idx) != kept.labels
        set_rows(self.weights, kept.weights, sample_idx)
        counts = torch.stack([found.labels == guesses, is_changed]).sum(1, dtype=torch.float32)
        self._note_fractions(counts, len(rows))
        return kept

    @validated
    @torch.no_grad()
    def relabel(self, batches: Iterable[tuple[Tensor, ...]]) -> dict[str, Any]:
        """Labels the target in one pass with the current prototypes, stores the labels, and returns `diagnostics`.

        Samples are rejected by the mean confidence over the whole pass, which replaces the running means. Samples
        outside the pass keep their labels. Stored labels included, it needs 16 bytes per target sample. With
        neighbours, features are stored too, and neighbours are searched among all samples, those of the whole pass
        included. If processes of a group label the same sample differently, the larger label is used.

        Args:
            batches: tuples (features, sample_idx) or (features, sample_idx, class_probs), as for `forward`, of any
                length.

        Raises:
            ValueError: wrong shape, index out of range, NaN or infinite feature; nothing is stored then.
            TypeError: wrong dtype, or not a tensor, likewise.

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
                found = self._found(self._rows(features), *searched)
                labels[sample_idx], weights[sample_idx] = found.labels.int(), found.weights
                counted = torch.stack([found.weights, (found.labels >= 0).float(), (found.labels == guesses).float()])
                sums += torch.zeros_like(sums).index_add_(1, found.labels.clamp(min=0), counted)
        self._keep_pass(labels, weights, sums)
        return self.diagnostics

    @property
    def diagnostics(self) -> dict[str, Any]:
        """Statistics of the labels as plain numbers, which upstream's `IgniteRecordKeeperLogger` logs.

        fraction_kept: fraction of the target samples that have a label, 0..1.
        class_histogram: number of samples with each label, a list of length K.
        agreement: fraction of the samples of the last call or pass whose class, before rejection, is the classifier's,
            0..1; 0 without `class_probs`.
        fraction_changed: fraction of these samples whose stored label has changed, 0..1.
        """
        histogram = torch.zeros(self.num_classes + 1, dtype=torch.long, device=self.labels.device)
        for (part,) in in_parts(WORK, self.labels):
            histogram += torch.bincount(part + 1, minlength=self.num_classes + 1)
        histogram = histogram[1:]
        agreement, fraction_changed = self.fractions.tolist()
        return {
            "fraction_kept": histogram.sum().item() / self.num_target,
            "class_histogram": histogram.tolist(),
            "agreement": agreement,
            "fraction_changed": fraction_changed,
        }

    def check_sample_idx(self, sample_idx: Tensor, size: int) -> Tensor:
        """Returns indices as int64. Raises unless they are integers of shape (size,), 0..num_target-1."""
        return check_labels(sample_idx, size, self.num_target, name=f"sample_idx (num_target = {self.num_target})")

    def _checked_call(
        self, features: Tensor, sample_idx: Tensor | None, class_probs: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """Returns indices as int64, and the classifier's classes, -2 without class probabilities."""
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
        """Yields features, indices and the classifier's classes of each batch.

        With neighbours, the features of all batches are stored first.
        """
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
            named = ", ".join(map(str, unseen[:10])) + (", ..." if len(unseen) > 10 else "")
            warnings.warn(
                f"PrototypeLabeler rejects every target sample, since it has not seen a sample of class {named} yet: "
                "num_classes must be the number of classes of the source",
                stacklevel=6,
            )

    def _searched(self, is_pass: bool = False) -> tuple[PartIndex | None, PartIndex | None]:
        """Returns the indexes of prototypes and of stored samples; None where there are none."""
        where = "auto" if self.device == "all" and not is_pass else self.device, self.temp_memory
        return self._index(*where), None if self.memory is None else self.memory.index(*where)

    def _found(self, rows: Tensor, prototypes: PartIndex | None, others: PartIndex | None) -> PseudoLabels:
        """Returns class, confidence and distance of each sample before rejection, by neighbours if they vote.

        rows: shape (N, D), as returned by `_rows`.
        """
        nearest = self._nearest_class(rows, prototypes)
        if self.memory is None or prototypes is None or others is None or len(rows) == 0:
            return nearest
        _, indices = others.rows.search(rows, min(self.neighbours, others.rows.num_references))
        of_memory = indices.flatten() if others.numbers is None else others.numbers[indices.flatten()]
        voters = self._nearest_class(self.memory.rows[of_memory], prototypes)
        return PseudoLabels(*vote(voters.labels.view_as(indices), voters.weights.view_as(indices)), nearest.distances)

    def _without_rejected(self, found: PseudoLabels) -> PseudoLabels:
        is_rejected = self._is_rejected(found.labels, found.weights)
        labels, weights = found.labels.masked_fill(is_rejected, -1), found.weights.masked_fill(is_rejected, 0.0)
        return PseudoLabels(labels, weights, found.distances)

    def _is_rejected(self, nearest_class: Tensor, confidence: Tensor) -> Tensor:
        return confidence < self.threshold * self.mean_confidence[nearest_class]

    def _update_mean_confidence(self, found: PseudoLabels) -> None:
        of_class = members(found.labels, self.num_classes).to(found.weights)
        with torch.autocast(of_class.device.type, enabled=False):
            sums = of_class @ found.weights
        sums, numbers = summed_over_processes(sums, of_class.sum(1))
        steps = 1 - self.momentum * self.mean_confidence.sign()  # the first samples of a class count whole
        way = torch.addcmul(sums, numbers, self.mean_confidence, value=-1) * steps
        set_state(self, "mean_confidence", self.mean_confidence.addcdiv(way, numbers.clamp(min=1)))

    def _keep_pass(self, labels: Tensor, weights: Tensor, sums: Tensor) -> None:
        """Rejects samples by the mean confidence of a pass, and stores its labels.

        sums: shape (3, K), for each nearest class the sum of confidence, of 1, and of agreement with the classifier.
        """
        confidence_sums, numbers, agreeing = summed_over_processes(sums)[0]
        set_state(self, "mean_confidence", (confidence_sums / numbers).where(numbers > 0, self.mean_confidence))
        counts = torch.zeros(2, dtype=torch.float32, device=labels.device)
        for new, confidence, old in in_parts(WORK, labels, weights, self.labels):
            is_rejected, is_labelled = self._is_rejected(new.clamp(min=-1), confidence), new != UNSEEN
            new.masked_fill_(is_rejected & is_labelled, -1)
            confidence.masked_fill_(is_rejected, 0.0)
            counts += torch.stack([is_labelled & (new != old), is_labelled]).sum(1)
        (counts,) = summed_over_processes(counts)
        fractions = torch.stack([agreeing.sum(), counts[0]]) / counts[1]
        set_state(self, "fractions", fractions.where(counts[1] > 0, self.fractions))
        if is_shared():
            for tensor in (labels, weights):
                dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        for new, confidence, old, old_confidence in in_parts(WORK, labels, weights, self.labels, self.weights):
            old.copy_(new.where(new != UNSEEN, old))
            old_confidence.copy_(confidence.where(new != UNSEEN, old_confidence))

    def _note_fractions(self, counts: Tensor, size: int) -> None:
        """Keeps the fractions of samples that agree and that changed, from their numbers in a batch of `size`."""
        total: int | Tensor = size
        if is_shared():
            counts, total = summed_over_processes(counts, torch.full_like(counts[:1], size))
        if isinstance(total, Tensor):
            set_state(self, "fractions", (counts / total).where(total > 0, self.fractions))
        elif total:
            set_state(self, "fractions", counts / total)

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, feature_dim={self.feature_dim}, num_target={self.num_target}, "
            f"prototypes_per_class={self.prototypes_per_class}, metric={self.metric!r}, momentum={self.momentum}, "
            f"threshold={self.threshold}, neighbours={self.neighbours}"
        )
