"""Hook: the features and logits that have to be finite."""

from typing import Any

from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor

from .. import keys


class FiniteHook(BaseHook):
    """Shows the features and logits of a step to a `StepWeighter`, which refuses the step if they are not finite.

    A network may overflow on a good batch. The values are read with the losses, so that the step waits only once.

    Reads, where present: features and logits of both domains. Writes nothing. No losses.

    Examples:
        >>> import torch
        >>> hook = FiniteHook()
        >>> hook({"src_imgs_features": torch.eye(2)})
        ({}, {})
        >>> list(hook.take())
        ['src_imgs_features']
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: dict[str, Tensor] = {}  # from this hook to the weighter of the same step

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        self.seen = {}
        wanted = [key(domain) for domain in keys.DOMAINS for key in (keys.features, keys.logits)]
        for key in (key for key in wanted if key in inputs):
            several = [inputs[key]] if isinstance(inputs[key], Tensor) else inputs[key]
            self.seen |= {f"{key}[{n}]" if n else key: one for n, one in enumerate(several)}
        return {}, {}

    def take(self) -> dict[str, Tensor]:
        """Returns what the last call has seen, by key, and forgets it."""
        seen, self.seen = self.seen, {}
        return seen

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return []
