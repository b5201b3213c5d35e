"""Sums of features over classes, and clusters within classes, for prototypes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..processes import summed_over_processes
from .faiss_search import load_faiss

TRIES = 5  # k-means sometimes ends in a poor optimum; the best of several runs is used


def class_sums(rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Returns the weighted sum of each class's rows and the sum of their weights, in float32 under autocast.

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
    """Returns `class_sums` over all processes for the classes that occur; its cost grows with the samples, not with K.

    Args:
        rows, labels, weights, num_classes: as in `class_sums`.

    Returns:
        present: shape (C,), int64, ascending, classes with a sample of weight above 0 in any process.
        sums: shape (C, D), float32.
        mass: shape (C,), float32.
    """
    labels = labels.where(weights > 0, -1)
    occurs = torch.zeros(num_classes + 1, dtype=torch.float32, device=rows.device)
    occurs[labels + 1] = 1.0  # entry 0 is for samples to leave out
    (occurs,) = summed_over_processes(occurs[1:])
    present = occurs.nonzero()[:, 0]
    places = torch.searchsorted(present, labels.clamp(min=0)).where(labels >= 0, -1)
    sums, mass = summed_over_processes(*class_sums(rows, places, weights, len(present)))
    return present, sums, mass


def clusters_within_classes(
    rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int, per_class: int, spherical: bool
) -> Tensor:
    """Returns the cluster of each row by weighted k-means within its class, on the CPU.

    The result is deterministic. k-means uses at most 256 rows per cluster; weights enter the cluster means, but not the
    choice of the best of several runs.

    Args:
        rows: shape (N, D), float32, one sample a row.
        labels: shape (N,), int64, 0..K-1, or -1 for a sample to leave out.
        weights: shape (N,), float32, at least 0.
        num_classes: K.
        per_class: P, clusters per class; a class with at most P rows has one cluster per row.
        spherical: cluster directions; the rows must have unit length.

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
