"""Reduction of sample losses in which every domain has the same weight."""

import torch
from torch import Tensor


def numbers_of_domain(domains: Tensor) -> Tensor:
    """Returns for each sample the number of samples of its domain, shape (N,), float32.

    Args:
        domains: shape (N,), int64, domain 0, 1, ... of a sample.

    Examples:
        >>> numbers_of_domain(torch.tensor([0, 0, 1]))
        tensor([2., 2., 1.])
    """
    return (domains[:, None] == domains).sum(1, dtype=torch.float32)


def per_domain_mean(values: Tensor, domains: Tensor) -> Tensor:
    """Returns the sum over domains of the mean of each domain, sum_i v_i / N_{d_i}; 0 with a gradient if N = 0.

    Args:
        values: shape (N,), one sample a row.
        domains: shape (N,), int64, domain 0, 1, ... of a sample; a domain without samples adds nothing.

    Examples:
        >>> per_domain_mean(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]))
        tensor(7.)
    """
    return (values / numbers_of_domain(domains)).sum()
