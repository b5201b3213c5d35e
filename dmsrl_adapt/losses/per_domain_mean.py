"""Reduction of sample losses in which every domain has the same weight."""

import torch
from torch import Tensor


def per_domain_mean(values: Tensor, domains: Tensor) -> Tensor:
    """Returns the sum over domains of the mean of each domain, sum_i v_i / N_{d_i}; 0 with a gradient if N = 0.

    Args:
        values: shape (N,), one sample a row.
        domains: shape (N,), int64, domain 0, 1, ... of a sample; a domain without samples adds nothing.

    Examples:
        >>> per_domain_mean(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]))
        tensor(7.)
    """
    return (values / torch.bincount(domains)[domains]).sum()
