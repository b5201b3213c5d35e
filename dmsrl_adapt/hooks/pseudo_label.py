"""Hook: pseudo labels for the target batch."""

from collections.abc import Sequence
from typing import Any

from pytorch_adapt.hooks import FeaturesAndLogitsHook
from pytorch_adapt.hooks.base import BaseHook

from .. import keys
from ..labelers.pseudo_labels import with_known
from ..losses.class_probs import with_known_classes
from ..training import WarmUp
from .context import read, read_class_probs, read_progress
from .known_target_labels import read_known_labels

PROTOTYPES = ("both", "target")


def check_prototypes(prototypes: str) -> None:
    """Raises `ValueError` for a name that is not in `PROTOTYPES`."""
    if prototypes not in PROTOTYPES:
        raise ValueError(f"prototypes must be one of {PROTOTYPES}, got {prototypes!r}")


class PseudoLabelHook(BaseHook):
    """Writes pseudo labels for the target batch, then updates the labeler with this batch.

    The labels come from the state before this batch, so a new `PrototypeLabeler` rejects the first batch, and every
    batch until the source has had a sample of each class. It is then updated with the labelled source batch and with
    the target samples under their pseudo labels and weights. The warm-up applies to the weights that later hooks read,
    not to those of the update. Target samples of known class, see `KnownTargetLabelsHook`, have that label with weight
    1 in both. A `PrototypeLabeler` describes its labels in `diagnostics`, which upstream's `IgniteRecordKeeperLogger`
    logs.

    With `prototypes="target"` the source's labels do not move the prototypes. They are means of the target's features
    alone, weighted by the classifier's probabilities, as in SHOT; see `PrototypeLabeler.update_soft`.

    Modules: `G`, `C` (for missing features and logits), `pseudo_labeler` (misc; `PrototypeLabeler` or `ArgmaxLabeler`).
    Reads: `src_imgs_features`, `src_labels`, `target_imgs_features`, `target_imgs_features_logits`,
    `target_sample_idx`; `target_known_labels` and `progress` where present. Writes: `target_pseudo_labels`, int64 (N,),
    -1 for a rejected sample; `target_pseudo_weights`, float32 (N,), confidence, 0..1; `target_class_probs`, float32
    (N, K), which later hooks read too; the features and logits it had to compute. No losses.

    Args:
        warmup: of the weights that later hooks read; linear as for the loss of ATDOC (arXiv 2007.04171).
        prototypes: "both", of both domains by labels, or "target", of the target by class probabilities, for a
            `PrototypeLabeler`.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing, for example `target_sample_idx`, which upstream's `TargetDataset`
            supplies.
        ValueError: unknown prototypes; wrong shapes; labels, indices or progress out of range; NaN features. The
            labeler is left unchanged.

    Examples:
        >>> import torch
        >>> from dmsrl_adapt.labelers import PrototypeLabeler
        >>> labeler = PrototypeLabeler(num_classes=2, feature_dim=2, num_target=10)
        >>> labeler.update(torch.eye(2), torch.tensor([0, 1]))
        >>> batch = {"src_labels": torch.tensor([0, 1]), "target_sample_idx": torch.tensor([7, 3])}
        >>> batch |= {f"{domain}_imgs_features": torch.eye(2) for domain in ("src", "target")}
        >>> batch |= {f"{domain}_imgs_features_logits": torch.eye(2) for domain in ("src", "target")}
        >>> outputs, losses = PseudoLabelHook()({"pseudo_labeler": labeler, **batch})
        >>> outputs["target_pseudo_labels"]
        tensor([0, 1])
    """

    def __init__(self, warmup: WarmUp | str = WarmUp.LINEAR, prototypes: str = "both", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_prototypes(prototypes)
        self.warmup, self.prototypes = WarmUp(warmup), prototypes
        self.f_hook = FeaturesAndLogitsHook(domains=keys.DOMAINS)
        self.labeler: Any = None  # of the last batch: upstream's logger looks for modules in hooks, not in `misc`

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        labeler = self.labeler = read(self, inputs, keys.PSEUDO_LABELER)
        sample_idx, labels = (read(self, inputs, key) for key in (keys.TARGET_SAMPLE_IDX, keys.SRC_LABELS))
        outputs = self.f_hook(inputs, losses)[0]
        context = inputs | outputs
        source, target = (context[keys.features(domain)] for domain in keys.DOMAINS)
        probs = read_class_probs(context)
        # all checks before the labeler changes, so that an invalid batch leaves it unchanged
        factor = self.warmup(read_progress(inputs))
        known = read_known_labels(inputs, len(target), probs.shape[1])
        if self.prototypes == "target":
            result = labeler(target, sample_idx=sample_idx, class_probs=probs)
            labeler.update_soft(target, probs if known is None else with_known_classes(probs, known))
        else:
            result = labeler.step(source, labels, target, sample_idx, probs, known)
        weights = result.weights if factor == 1 else result.weights * factor
        labels, weights = with_known(known, result.labels, weights)
        if keys.TARGET_CLASS_PROBS not in inputs:
            outputs = {**outputs, keys.TARGET_CLASS_PROBS: probs}
        return {**outputs, keys.TARGET_PSEUDO_LABELS: labels, keys.TARGET_PSEUDO_WEIGHTS: weights}, {}

    def _loss_keys(self) -> Sequence[str]:
        return []

    def _out_keys(self) -> list[str]:
        return [
            *self.f_hook.out_keys,
            keys.TARGET_PSEUDO_LABELS,
            keys.TARGET_PSEUDO_WEIGHTS,
            keys.TARGET_CLASS_PROBS,
        ]
