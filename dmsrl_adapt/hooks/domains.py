"""Domain numbers of the rows of a batch, and the number of domains of a layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .. import keys


def num_domains(layer: nn.Module) -> int:
    """Returns the number of domains that a layer, wrapped or not, was made for."""
    return max(getattr(part, "num_domains", 2) for part in layer.modules())


def domain_numbers(context: Mapping[str, Any]) -> Tensor:
    """Returns the domain of each row of the concatenated features, 0 for source and 1 for target, shape (N,)."""
    features = [context[keys.features(domain)] for domain in keys.DOMAINS]
    return torch.cat([torch.full((len(rows),), d, device=rows.device) for d, rows in enumerate(features)])
