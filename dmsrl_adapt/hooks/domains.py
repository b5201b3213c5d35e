"""Which domain a row is of, and how many of them a layer tells apart."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .. import keys


def num_domains(layer: nn.Module) -> int:
    """Returns the number of domains that a layer, however it is wrapped, tells apart."""
    return max(getattr(part, "num_domains", 2) for part in layer.modules())


def domain_numbers(context: Mapping[str, Any]) -> Tensor:
    """Returns the domain, 0 or 1, of every row of the features of both domains, source first; shape (N,)."""
    features = [context[keys.features(domain)] for domain in keys.DOMAINS]
    return torch.cat([torch.full((len(rows),), d, device=rows.device) for d, rows in enumerate(features)])
