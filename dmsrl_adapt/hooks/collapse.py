"""Hook: warnings about training collapse."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys
from ..losses import AdversarialMILoss
from ..training import CollapseWatch
from .context import read_class_probs


class CollapseHook(BaseHook):
    """Monitors the outputs of the hooks before it, and warns once of each sign of a collapse.

    It is the last hook of `DMSRLHook` and `attach_dmsrl`, and changes nothing. Its `diagnostics` hold the values of the
    last window, and upstream's `IgniteRecordKeeperLogger` logs them. docs/robustness.md explains each sign and what to
    do.

    Modules: `mi_critic` where present. Reads, where present: `target_imgs_features`, `target_imgs_features_logits`,
    `target_pseudo_labels`, and the loss `mi_loss` of `TwoBranchMIHook`. Writes nothing. No losses.

    Args:
        samples: minimum number of target samples in a window, at least 1; see `CollapseWatch`.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Examples:
        >>> import torch
        >>> hook = CollapseHook()
        >>> batch = {"target_imgs_features": torch.eye(1000), "target_imgs_features_logits": torch.rand(1000, 2)}
        >>> outputs, losses = hook(batch)
        >>> hook.diagnostics["missing_classes"]
        0.0
    """

    _record_these: ClassVar = ["diagnostics"]

    def __init__(self, samples: int = 1000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch = CollapseWatch(samples)

    @property
    def diagnostics(self) -> dict[str, float]:
        """Returns the value of each sign over the last full window, 0..1; empty before there is one."""
        return self.watch.diagnostics

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        features, logits = (inputs.get(key(keys.TARGET)) for key in (keys.features, keys.logits))
        if features is not None:
            self.watch.add(
                features,
                None if logits is None else read_class_probs(inputs),
                inputs.get(keys.TARGET_PSEUDO_LABELS),
                critic_accuracy(inputs),
                losses.get(keys.MI_LOSS) if keys.MI_ESTIMATOR_LOSS in losses else None,
            )
        return {}, {}

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return []


def critic_accuracy(inputs: Mapping[str, Any]) -> Tensor | None:
    """Returns the accuracy of the critic, wrapped or not, on the last batch; None without a critic."""
    parts = inputs[keys.MI_CRITIC].modules() if keys.MI_CRITIC in inputs else []
    return next((part.accuracy for part in parts if isinstance(part, AdversarialMILoss)), None)
