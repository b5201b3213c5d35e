"""Exchange between the processes of a group; without a group there is one process."""

import torch
import torch.distributed as dist
from torch import Tensor


def is_shared() -> bool:
    """Returns whether there is a process group with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def summed_over_processes(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Returns the sums of float32 tensors over all processes, in one exchange."""
    if not is_shared():
        return tensors
    packed = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(packed)
    parts = packed.split_with_sizes([tensor.numel() for tensor in tensors])
    return tuple(part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True))


def num_processes() -> int:
    """Returns the number of processes in the process group; 1 without one."""
    return dist.get_world_size() if is_shared() else 1


def of_all_processes(tensor: Tensor) -> Tensor:
    """Returns the concatenation of the processes' tensors of equal shape (N, ...), shape (processes * N, ...)."""
    if not is_shared():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def rows_of_all_processes(rows: Tensor) -> tuple[Tensor, slice]:
    """Returns the concatenated rows of all processes, and the slice of this process's rows.

    Args:
        rows: shape (N, ...); only N may differ between processes.
    """
    if not is_shared():
        return rows, slice(len(rows))
    sizes = of_all_processes(torch.tensor([len(rows)], device=rows.device)).tolist()
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = of_all_processes(padded).view(len(sizes), *padded.shape)
    start = sum(sizes[: dist.get_rank()])
    kept = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    return torch.cat(kept), slice(start, start + len(rows))
