"""Hook: losses of another hook, weighted by how far training has come."""

from typing import Any

from pytorch_adapt.hooks.base import BaseHook, BaseWrapperHook

from ..training import ramp
from .context import read_progress


class WarmUpHook(BaseWrapperHook):
    """Runs another hook and multiplies its losses by 2 / (1 + exp(-10 p)) - 1 of the training progress p.

    For losses that believe what the network says of the target: at first it says what the source has taught it.

    Reads: `progress` where present, else the losses stay as they are, and what the other hook reads. Writes and losses:
    those of the other hook.

    Args:
        hook: the other hook, for one upstream's `MCCHook`.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        ValueError: progress out of 0..1.

    Reference:
        Ganin et al., JMLR 2016, arXiv 1505.07818, for the ramp.

    Examples:
        >>> import torch
        >>> from pytorch_adapt.hooks import MCCHook
        >>> batch = {"target_imgs_features_logits": torch.eye(2), "target_imgs_features": torch.eye(2)}
        >>> outputs, losses = WarmUpHook(MCCHook())({**batch, "progress": 0.0})
        >>> losses["mcc_loss"]
        tensor(0.)
    """

    def __init__(self, hook: BaseHook, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hook = hook

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        weight = ramp(read_progress(inputs))
        outputs, own = self.hook(inputs, losses)
        return outputs, {key: weight * loss for key, loss in own.items()}
