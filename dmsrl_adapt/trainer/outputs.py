"""Features and logits of many inputs."""

from collections.abc import Iterable

import torch
from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor

from .devices import device_of


@torch.no_grad()
def outputs_of(adapter: BaseAdapter, batches: Iterable[Tensor], domain: int) -> dict[str, Tensor]:
    """Returns features (N, D), logits (N, K) and class probabilities "preds" (N, K), as upstream's validators take
    them, on the CPU.

    The models are in evaluation mode for the time, and in training mode afterwards.

    Args:
        adapter: of pytorch-adapt.
        batches: inputs of G, each of shape (n, ...).
        domain: 0 for the source, 1 for the target, for methods that need it.
    """
    adapter.models.eval()
    parts, device = [], device_of(adapter)
    for part in batches:
        parts.append(adapter.inference(part.to(device), domain=torch.full((len(part),), domain)))
    adapter.models.train()
    outputs = {key: torch.cat([part[key] for part in parts]).cpu() for key in ("features", "logits")}
    return {**outputs, "preds": outputs["logits"].softmax(1)}
