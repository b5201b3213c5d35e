"""Memory of target features for neighbour search, and the vote of neighbours on a label."""

import torch
from torch import Tensor

from ..checks import check_floating, check_integers, check_shape, check_sizes
from ..precision import PreciseBuffers
from ..state import set_rows
from .faiss_search import FlatIndex, PartIndex


class NeighbourMemory(PreciseBuffers):
    """Stores one row for each target sample, and builds an index of the rows for FAISS.

    The state is buffers only, 4 D + 1 bytes per sample.

    Args:
        num_target: N, number of samples in the target data set.
        feature_dim: D.
    """

    rows: Tensor
    is_there: Tensor

    def __init__(self, num_target: int, feature_dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(num_target, feature_dim, dtype=torch.float32))
        self.register_buffer("is_there", torch.zeros(num_target, dtype=torch.bool))

    def keep(self, rows: Tensor, sample_idx: Tensor) -> None:
        """Stores the rows, float32 (n, D), of samples, int64 (n,); earlier rows of these samples are replaced."""
        set_rows(self.rows, rows, sample_idx)
        set_rows(self.is_there, torch.ones_like(sample_idx), sample_idx)

    def index(self, device: str, temp_memory: int | None) -> PartIndex | None:
        """Returns an index of the stored rows by squared Euclidean distance; None without rows.

        Unit rows have the same neighbours by this distance as by cosine, and once all samples are stored it needs no
        copy.

        Args:
            device: as in `FlatIndex`.
            temp_memory: as in `FlatIndex`.
        """
        stored = self.is_there.nonzero()[:, 0]
        if len(stored) == 0:
            return None
        rows = self.rows if len(stored) == len(self.rows) else self.rows[stored]
        return PartIndex(stored, FlatIndex(rows, "l2", device, temp_memory))


def vote(classes: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the class with the largest sum of confidence among the votes, and its lead.

    $$ (s_1 - s_2) / m, \quad s_k = \sum_j w_j [c_j = k] $$

    s_1 and s_2 are the two largest sums. Of classes with equal sums, up to rounding, the one voted for first wins, with
    lead 0.

    Args:
        classes: c, shape (N, m), integer, m votes on each sample, m at least 1.
        confidence: w, shape (N, m), floating point, 0..1.

    Returns:
        Class, shape (N,), and lead, shape (N,), 0..1.

    Raises:
        ValueError: wrong shape, or no votes.
        TypeError: classes that are not integers, confidence that is not floating point.

    Examples:
        >>> vote(torch.tensor([[2, 0, 0]]), torch.tensor([[0.6, 0.5, 0.7]]))
        (tensor([0]), tensor([0.2000]))
    """
    check_integers(classes, "classes")
    check_shape(classes, ("N", "m"), "classes")
    check_sizes(m=classes.shape[1])
    check_floating(confidence, "confidence", *classes.shape)
    support = ((classes[:, :, None] == classes[:, None]) * confidence[:, None]).sum(2)
    first = support.amax(1)
    rounding = torch.finfo(confidence.dtype).eps * classes.shape[1] * first
    winner = (support >= (first - rounding)[:, None]).int().argmax(1)
    label = classes.gather(1, winner[:, None])
    lead = first - support.where(classes != label, 0.0).amax(1)
    return label[:, 0], lead.where(lead > rounding, 0.0) / classes.shape[1]
