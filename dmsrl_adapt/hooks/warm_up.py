"""Hook: warm-up of the losses of another hook."""

from typing import Any

from pytorch_adapt.hooks.base import BaseHook, BaseWrapperHook

from ..training import WarmUp
from .context import read_progress


class WarmUpHook(BaseWrapperHook):
    """Runs another hook and multiplies its losses by a warm-up factor.

    For losses that rely on target predictions, which are poor at first.

    Reads: what the other hook reads, and `progress`; without it the losses are unchanged. Writes and losses: those of
    the other hook.

    Args:
        hook: the other hook, for example upstream's `MCCHook`.
        warmup: see `WarmUp`.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        ValueError: an unknown warm-up; progress out of 0..1.

    Examples:
        >>> import torch
        >>> from pytorch_adapt.hooks import MCCHook
        >>> batch = {"target_imgs_features_logits": torch.eye(2), "target_imgs_features": torch.eye(2)}
        >>> outputs, losses = WarmUpHook(MCCHook())({**batch, "progress": 0.0})
        >>> losses["mcc_loss"]
        tensor(0.)
    """

    def __init__(self, hook: BaseHook, warmup: WarmUp | str = WarmUp.SIGMOID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hook, self.warmup = hook, WarmUp(warmup)

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        factor = self.warmup(read_progress(inputs))
        outputs, own = self.hook(inputs, losses)
        return outputs, {key: factor * loss for key, loss in own.items()}


def warmed_up(hook: BaseHook, warmup: WarmUp) -> BaseHook:
    """Returns the hook with a warm-up of its losses; the hook itself for `WarmUp.NONE`."""
    return hook if warmup is WarmUp.NONE else WarmUpHook(hook, warmup)
