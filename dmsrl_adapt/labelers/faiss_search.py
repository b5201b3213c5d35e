"""Exact nearest neighbour search by FAISS on the tensors' device, or for few queries by one matrix product."""

import warnings
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import check_features
from ..unit_rows import unit_rows

METRICS = ("cosine", "l2")
DEVICES = ("auto", "cpu", "all")
# For a training batch on the CPU: up to this number one matrix product with a sort takes 0.1 to 1.1 times as long as
# FAISS (64 to 2048 dimensions, 10 to 10,000 references, one thread); from 512 queries on it can take twice as long.
PRODUCT_QUERIES = 256
PRODUCT_CELLS = 2**22  # of the table of all inner products, 16 MiB


@cache
def load_faiss() -> ModuleType:
    """Returns the module faiss with support for tensors. Raises `ImportError` with the install command."""
    try:
        import faiss
        import faiss.contrib.torch_utils  # lets FAISS use tensors without a copy
    except ImportError as error:
        raise ImportError(
            "Nearest prototype search needs FAISS: `pip install faiss-gpu` on x86-64 Linux, `pip install faiss-cpu` "
            f"elsewhere, never both ({error})"
        ) from error
    return faiss


@cache
def gpu_resources(device: int, temp_memory: int | None) -> Any:
    """Returns the FAISS resources of a GPU with at most `temp_memory` bytes of scratch memory; cached."""
    resources = load_faiss().StandardGpuResources()
    if temp_memory is not None:
        resources.setTempMemory(temp_memory)
    return resources


@cache
def warn_no_gpu() -> None:
    """Warns once that CUDA tensors are searched on the CPU."""
    warnings.warn("FAISS sees no GPU: nearest prototypes of CUDA tensors are searched on the CPU", stacklevel=2)


def search_devices(tensor: Tensor, device: str = "auto") -> list[torch.device]:
    """Returns the devices for a search with `tensor`: its own, all GPUs, or the CPU if FAISS has no GPU."""
    if device not in DEVICES:
        raise ValueError(f"device must be one of {DEVICES}, got {device!r}")
    if device == "cpu" or tensor.device.type != "cuda":
        return [torch.device("cpu")]
    num_gpus = load_faiss().get_num_gpus()
    if num_gpus == 0:
        warn_no_gpu()
        return [torch.device("cpu")]
    return [torch.device("cuda", number) for number in range(num_gpus)] if device == "all" else [tensor.device]


def search_rows(
    queries: Tensor, references: Tensor, k: int, metric: str, temp_memory: int | None = None
) -> tuple[Tensor, Tensor]:
    """Returns scores, float32 (N, k), and rows of the k nearest references, int64 (N, k), best first.

    It is the search of FAISS's flat index on the device of the references, but without copying them into an index: the
    copy costs as much as the search of a batch, and references change at every training step.

    Args:
        queries: shape (N, D), float32, contiguous, on the device of the references.
        references: shape (M, D), float32, contiguous, M >= k.
        k: number of neighbours.
        metric: "cosine" for the inner product, for rows of unit length, or "l2".
        temp_memory: as in `FlatIndex`.
    """
    faiss = load_faiss()
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    if references.device.type == "cpu":
        scores, indices = faiss.knn(queries, references, k, metric=kind)
        return scores, indices
    number = references.device.index or 0
    resources = gpu_resources(number, temp_memory)
    # FAISS uses the stream of the current device
    with torch.cuda.device(number):
        scores, indices = faiss.knn_gpu(resources, queries, references, k, metric=kind, device=number)
    return scores, indices


def product_rows(queries: Tensor, references: Tensor, k: int, *_: Any) -> tuple[Tensor, Tensor]:
    """Returns the same as `search_rows` for "cosine", by one matrix product on the CPU."""
    with torch.autocast("cpu", enabled=False):
        scores, indices = (queries @ references.t()).topk(k)
    return scores, indices


def searchable(rows: Tensor, metric: str) -> Tensor:
    """Returns rows as they are searched, without a gradient: float32, contiguous, and of unit length for "cosine"."""
    with torch.no_grad():
        return (unit_rows(rows.float()) if metric == "cosine" else rows.float()).contiguous()


class FlatIndex:
    """References for repeated searches, with a replica on each device.

    Args:
        references: shape (M, D), floating point, finite. Searched in float32. They must not change, because with "l2"
            they may be searched without a copy.
        metric: "cosine" for the distance 1 - cos, 0..2 (a zero row has distance 1 to all), or "l2" for squared
            Euclidean distance in squared feature units.
        device: "auto" for the device of the references, "cpu" for the CPU, "all" to distribute queries over all GPUs of
            FAISS if the references are on one. If FAISS has no GPU, CUDA tensors are searched on the CPU, with one
            warning.
        temp_memory: bytes of scratch memory for FAISS on a GPU; None for FAISS's default, up to 1.5 GiB.

    Raises:
        ValueError: unknown metric or device.
        ImportError: FAISS is not installed.
    """

    def __init__(
        self, references: Tensor, metric: str = "cosine", device: str = "auto", temp_memory: int | None = None
    ) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {METRICS}, got {metric!r}")
        load_faiss()  # so that a missing FAISS raises here
        self.metric, self.num_references, self.temp_memory = metric, len(references), temp_memory
        rows = searchable(references, metric)
        self.replicas = [rows.to(place) for place in search_devices(references, device)]

    @torch.no_grad()
    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Returns distances, float32 (N, k), and rows of the k nearest references, int64 (N, k), as `nearest` does.

        Args:
            queries: shape (N, D), as returned by `searchable` for the metric of the index.
            k: number of neighbours.
        """
        if not 1 <= k <= self.num_references:
            raise ValueError(f"k must be in 1..{self.num_references}, the number of references, got {k}")
        if len(queries) == 0:
            empty = torch.zeros((0, k), dtype=torch.float32, device=queries.device)
            return empty, empty.long()
        parts = queries.chunk(len(self.replicas)) if len(self.replicas) > 1 else [queries]
        search = product_rows if self._goes_by_product(len(queries)) else search_rows
        found = [
            search(part.to(rows.device), rows, k, self.metric, self.temp_memory)
            for part, rows in zip(parts, self.replicas, strict=False)  # there may be fewer queries than GPUs
        ]
        columns = [[one.to(queries.device) for one in column] for column in zip(*found, strict=True)]
        scores, indices = (column[0] if len(column) == 1 else torch.cat(column) for column in columns)
        # rounding can make the distance of equal vectors slightly negative
        return (1 - scores).clamp(0, 2) if self.metric == "cosine" else scores.clamp(min=0), indices

    def _goes_by_product(self, num_queries: int) -> bool:
        """Returns whether one matrix product is faster than FAISS, and as exact by the user's matmul precision."""
        is_small = num_queries <= PRODUCT_QUERIES and num_queries * self.num_references <= PRODUCT_CELLS
        is_on_cpu = len(self.replicas) == 1 and self.replicas[0].device.type == "cpu"
        return is_small and is_on_cpu and self.metric == "cosine" and torch.get_float32_matmul_precision() == "highest"


class PartIndex(NamedTuple):
    """A searchable index of some rows of a table.

    numbers: int64, row numbers in the table; None for all rows in their order.
    rows: index of these rows.
    """

    numbers: Tensor | None
    rows: FlatIndex


def nearest(
    queries: Tensor,
    references: Tensor,
    k: int,
    metric: str = "cosine",
    device: str = "auto",
    temp_memory: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns the k nearest references of every query, nearest first, on the queries' device.

    Args:
        queries: shape (N, D), floating point, finite. Searched in float32. No gradient flows through them.
        references: shape (M, D), floating point, finite, M >= k.
        k: number of neighbours, at least 1.
        metric: "cosine" or "l2", as in `FlatIndex`.
        device: as in `FlatIndex`, where "auto" is the device of the queries.
        temp_memory: as in `FlatIndex`.

    Returns:
        distances: shape (N, k), float32.
        indices: shape (N, k), int64, rows of `references`.

    Raises:
        ValueError: unknown metric or device, wrong shapes, NaN or infinite values, or M < k.
        TypeError: tensors that are not floating point.
        ImportError: FAISS is not installed.

    Examples:
        >>> distances, indices = nearest(torch.tensor([[2.0, 0.1]]), torch.eye(2), k=2)
        >>> indices
        tensor([[0, 1]])
    """
    for name, rows in (("references", references), ("queries", queries)):
        check_features(rows, references.shape[-1] if isinstance(references, Tensor) and references.ndim else 0, name)
    index = FlatIndex(references.to(queries.device), metric, device, temp_memory)
    return index.search(searchable(queries, metric), k)
