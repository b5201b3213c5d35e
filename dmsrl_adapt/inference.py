"""Inference of an adapter with everything that G takes beside images."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor

from . import keys


def infer(adapter: BaseAdapter, x: Tensor, domain: Any = None, **inputs: Any) -> dict[str, Tensor]:
    """Returns what an adapter infers: `features`, shape (N, D), `logits`, shape (N, K), or what else its method has.

    Args:
        adapter: of pytorch-adapt.
        x: inputs of G.
        domain: 0 for the source, 1 for the target, for methods that need it.
        **inputs: what G takes beside images, for example `landmarks`.
    """
    models = dict(adapter.models)
    if inputs:
        models[keys.G] = partial(models[keys.G], **inputs)
    outputs: dict[str, Tensor] = adapter.inference_fn(x=x, domain=domain, models=models, misc=adapter.misc)
    return outputs


@dataclass
class Inference:
    """`inference` of an adapter that `attach_dmsrl` has changed. A class and no closure, so that it can be pickled.

    Args:
        adapter: the adapter.
    """

    adapter: BaseAdapter

    def __call__(self, x: Tensor, domain: Any = None, **inputs: Any) -> dict[str, Tensor]:
        """Returns what `infer` does."""
        return infer(self.adapter, x, domain, **inputs)
