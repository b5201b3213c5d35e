"""Features of target samples, kept to find neighbours among them, and the vote of neighbours on a label."""

import torch
from torch import Tensor

from ..checks import check_floating, check_integers, check_shape, check_sizes
from ..precision import PreciseBuffers
from .faiss_search import FlatIndex, PartIndex


class NeighbourMemory(PreciseBuffers):
    """Keeps a row for each target sample that it is given, and makes them ready to be searched with FAISS.

    The state is buffers only: 4 D bytes a sample for its row, and 1 that tells whether it is there.

    Args:
        num_target: N, samples in the target data set.
        feature_dim: D.
    """

    rows: Tensor
    is_there: Tensor

    def __init__(self, num_target: int, feature_dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(num_target, feature_dim, dtype=torch.float32))
        self.register_buffer("is_there", torch.zeros(num_target, dtype=torch.bool))

    def keep(self, rows: Tensor, sample_idx: Tensor) -> None:
        """Puts rows, float32 (n, D), in the place of those that these samples, int64 (n,), had."""
        self.rows[sample_idx] = rows
        self.is_there[sample_idx] = True

    def index(self, device: str, temp_memory: int | None) -> PartIndex | None:
        """Returns the rows of the samples that are there, by squared Euclidean distance; None without any.

        Unit rows have the same neighbours by that distance as by angle, and are searched without a copy once all are
        there.

        Args:
            device, temp_memory: as in `FlatIndex`.
        """
        there = self.is_there.nonzero()[:, 0]
        if len(there) == 0:
            return None
        rows = self.rows if len(there) == len(self.rows) else self.rows[there]
        return PartIndex(there, FlatIndex(rows, "l2", device, temp_memory))


def vote(classes: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the class that has most trust among the votes, and by how much it leads,

    $$ (s_1 - s_2) / m, \quad s_k = \sum_j w_j [c_j = k], $$

    with s_1 and s_2 the largest two. Among equals, whose sums may differ by rounding, the class of
    the first vote wins, with a lead of 0.

    Args:
        classes: c, shape (N, m), integer, the votes on a sample in a row, m at least 1.
        trust: w, shape (N, m), floating point, 0..1.

    Returns:
        Class, shape (N,), and lead, shape (N,), 0..1.

    Raises:
        ValueError: wrong shape, or no votes.
        TypeError: classes that are not integers, trust that is not floating point.

    Examples:
        >>> vote(torch.tensor([[2, 0, 0]]), torch.tensor([[0.6, 0.5, 0.7]]))
        (tensor([0]), tensor([0.2000]))
    """
    check_integers(classes, "classes")
    check_shape(classes, ("N", "m"), "classes")
    check_sizes(m=classes.shape[1])
    check_floating(trust, "trust", *classes.shape)
    support = ((classes[:, :, None] == classes[:, None]) * trust[:, None]).sum(2)
    first = support.amax(1)
    rounding = torch.finfo(trust.dtype).eps * classes.shape[1] * first
    winner = (support >= (first - rounding)[:, None]).int().argmax(1)
    label = classes.gather(1, winner[:, None])
    lead = first - support.where(classes != label, 0.0).amax(1)
    return label[:, 0], lead.where(lead > rounding, 0.0) / classes.shape[1]
