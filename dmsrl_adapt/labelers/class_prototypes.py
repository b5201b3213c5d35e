"""What prototypes are made of: sums over the rows of a class, and of clusters within a class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..processes import summed_over_processes
from .faiss_search import load_faiss

TRIES = 5  # k-means ends in a poor place now and then; the best of several counts


def class_sums(rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Weighted sum of every class's rows and the sum of their weights, in float32 under autocast.

    Args:
        rows: shape (N, D), float32, one sample a row.
        labels: shape (N,), int64, 0..K-1, or -1 for a sample to leave out.
        weights: shape (N,), float32, at least 0.
        num_classes: K.

    Returns:
        sums: shape (K, D), float32.
        mass: shape (K,), float32.
    """
    members = F.one_hot(labels + 1, num_classes + 1)[:, 1:] * weights[:, None]
    with torch.autocast(rows.device.type, enabled=False):
        return members.t() @ rows, members.sum(0)


def present_sums(rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """`class_sums` over all processes, of the classes that are there alone: it costs by the samples, not by K.

    Args:
        rows, labels, weights, num_classes: as in `class_sums`.

    Returns:
        present: shape (C,), int64, in order, classes with a sample of weight above 0 in some process.
        sums: shape (C, D), float32.
        mass: shape (C,), float32.
    """
    labels = labels.where(weights > 0, -1)
    is_there = torch.zeros(num_classes + 1, device=rows.device)
    is_there[labels + 1] = 1.0  # the first is for samples to leave out
    (is_there,) = summed_over_processes(is_there[1:])
    present = is_there.nonzero()[:, 0]
    places = torch.searchsorted(present, labels.clamp(min=0)).where(labels >= 0, -1)
    sums, mass = summed_over_processes(*class_sums(rows, places, weights, len(present)))
    return present, sums, mass


def clusters_within_classes(
    rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int, per_class: int, spherical: bool
) -> Tensor:
    """Returns every row's cluster by weighted k-means among the rows of its class, on the CPU.

    The same rows give the same clusters. They are found among 256 rows a cluster at most, and weights count in the
    clusters' means, not in the choice between several tries.

    Args:
        rows: shape (N, D), float32, one sample a row.
        labels: shape (N,), int64, 0..K-1, or -1 for a sample to leave out.
        weights: shape (N,), float32, at least 0.
        num_classes: K.
        per_class: P, clusters a class; a class with fewer rows has a cluster for each.
        spherical: cluster directions; the rows are of unit length.

    Returns:
        Cluster k P + p of class k, shape (N,), int64; -1 for a row without label or weight.
    """
    labels = labels.where(weights > 0, -1)
    if per_class == 1:
        return labels
    clusters = labels.clone()
    for k in range(num_classes):
        members = (labels == k).nonzero()[:, 0]
        of_class = torch.arange(len(members))
        if len(members) > per_class:
            points, masses = rows[members].cpu().numpy(), weights[members].cpu().numpy()
            settings = {"spherical": spherical, "nredo": TRIES, "min_points_per_centroid": 1}
            kmeans = load_faiss().Kmeans(points.shape[1], per_class, **settings)
            kmeans.train(points, weights=masses)
            of_class = torch.from_numpy(kmeans.assign(points)[1])
        clusters[members] = k * per_class + of_class.to(clusters.device)
    return clusters
