"""Exact nearest neighbour search by a flat FAISS index, on the device where the tensors are."""

import warnings
from functools import cache
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

METRICS = ("cosine", "l2")
DEVICES = ("auto", "cpu")


@cache
def load_faiss() -> ModuleType:
    """Gives the module faiss, taught to take tensors. Raises `ImportError` naming the command that installs it."""
    try:
        import faiss
        import faiss.contrib.torch_utils  # lets an index take tensors without a copy
    except ImportError as error:
        raise ImportError(
            "Nearest prototype search needs FAISS: `pip install faiss-gpu` on x86-64 Linux, `pip install faiss-cpu` "
            f"elsewhere, never both ({error})"
        ) from error
    return faiss


@cache
def gpu_resources(device: int) -> Any:
    """Gives the FAISS resources of a GPU, made once a device."""
    return load_faiss().StandardGpuResources()


@cache
def warn_no_gpu() -> None:
    """Says once that a search on CUDA tensors goes through the CPU."""
    warnings.warn("FAISS sees no GPU: nearest prototypes of CUDA tensors are searched on the CPU", stacklevel=2)


def search_device(tensor: Tensor, device: str = "auto") -> torch.device:
    """Gives the device on which to search for neighbours of `tensor`: its own, or the CPU where FAISS has no GPU."""
    if device not in DEVICES:
        raise ValueError(f"device must be one of {DEVICES}, got {device!r}")
    if device == "cpu" or tensor.device.type != "cuda":
        return torch.device("cpu")
    if load_faiss().get_num_gpus() == 0:
        warn_no_gpu()
        return torch.device("cpu")
    return tensor.device


def build_index(references: Tensor, metric: str) -> Any:
    """Gives a flat index over `references`, float32 (M, D), on their device; "cosine" expects unit rows."""
    faiss = load_faiss()
    dim = references.shape[1]
    if references.device.type == "cpu":
        index = faiss.IndexFlatIP(dim) if metric == "cosine" else faiss.IndexFlatL2(dim)
    else:
        number = references.device.index or 0
        config = faiss.GpuIndexFlatConfig()
        config.device = number
        kind = faiss.GpuIndexFlatIP if metric == "cosine" else faiss.GpuIndexFlatL2
        index = kind(gpu_resources(number), dim, config)
    index.add(references)
    return index


@torch.no_grad()
def nearest(
    queries: Tensor, references: Tensor, k: int, metric: str = "cosine", device: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Gives the k nearest references of every query, nearest first, on the queries' device.

    Args:
        queries: shape (N, D), floating point, finite. Searched in float32.
        references: shape (M, D), floating point, finite, M >= k.
        k: neighbours a query, at least 1.
        metric: "cosine" for the distance 1 - cos, 0..2 (a zero row is 1 away from all), or "l2" for squared Euclidean
            distance in squared feature units.
        device: "auto" searches where the queries are, "cpu" always on the CPU. CUDA tensors with a FAISS that sees no
            GPU are searched on the CPU, after one warning.

    Returns:
        distances: shape (N, k), float32.
        indices: shape (N, k), int64, rows of `references`.

    Raises:
        ValueError: unknown metric or device, or M < k.
        ImportError: FAISS is not installed.

    Example:
        >>> distances, indices = nearest(torch.tensor([[2.0, 0.1]]), torch.eye(2), k=2)
        >>> indices
        tensor([[0, 1]])
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}, got {metric!r}")
    if not 1 <= k <= len(references):
        raise ValueError(f"k must be in 1..{len(references)}, the number of references, got {k}")
    where = search_device(queries, device)
    rows = [tensor.detach().to(where, torch.float32) for tensor in (queries, references)]
    if metric == "cosine":
        rows = [F.normalize(tensor, dim=1) for tensor in rows]
    if len(queries) == 0:
        empty = torch.zeros((0, k), device=queries.device)
        return empty, empty.long()
    found, indices = build_index(rows[1].contiguous(), metric).search(rows[0].contiguous(), k)
    # rounding puts the same vector at slightly less than no distance
    distances = (1 - found).clamp(0, 2) if metric == "cosine" else found.clamp(min=0)
    return distances.to(queries.device), indices.to(queries.device)
