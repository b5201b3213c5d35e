"""Plots of the reference, computed by running the losses, labelers and other modules themselves."""

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dmsrl_adapt import augment, labelers, losses, training
from dmsrl_adapt.backbones.local_windows import (
    ALIGNED,
    CORNER_FRACTION,
    CORNERS,
    LANDMARK_FRACTION,
    LANDMARKS,
    corner_windows,
)

POINTS = 201
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
SOURCE, TARGET = COLOURS[:2]


def on_circle(degrees: Tensor) -> Tensor:
    """Returns unit vectors for angles, shape (N, 2)."""
    return torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], 1)


def two_classes(first: Tensor) -> Tensor:
    """Returns probabilities of two classes, shape (N, 2), from the probability of the first."""
    return torch.stack([first, 1 - first], 1)


def curve(axes: Axes, xs: Tensor, values: list[Tensor] | Tensor, label: str | None = None) -> None:
    """Plots values over xs."""
    axes.plot(xs.numpy(), torch.stack(list(values)).detach().numpy(), label=label, lw=2)


def name(axes: Axes, x: str, y: str, title: str) -> None:
    """Sets labels and title of a plot."""
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)


def cosine_margin_loss(axes: Axes) -> None:
    """The loss over the angle between a feature and its class, for several margins."""
    degrees = torch.linspace(0, 180, POINTS)
    for scale, margin in ((8.0, 0.0), (8.0, 0.2), (8.0, 0.5), (64.0, 0.2)):
        loss = losses.CosineMarginLoss(2, 2, scale, margin)
        loss.prototypes.data = on_circle(torch.tensor([0.0, 90.0]))
        values = [loss(row[None], torch.tensor([0])) for row in on_circle(degrees)]
        curve(axes, degrees, values, f"s = {scale:g}, m = {margin:g}")
    axes.axvline(45, color="grey", ls=":", lw=1)
    axes.set(xlim=(0, 100), ylim=(0, 8))
    name(axes, "degrees to the class prototype; the other is at 90", "loss, nats", "dotted: equal angles to both")


def margin_metric_loss(axes: Axes) -> None:
    """The loss of a feature over its distance to the class centre, and of two centres over their distance."""
    distance = torch.linspace(0, 20, POINTS)
    pulled, spread = [], []
    for one in distance:
        loss = losses.MarginMetricLoss(2, 1, num_domains=1)
        loss.centers.data = torch.tensor([[[0.0], [20.0]]])
        pulled.append(loss(one.view(1, 1), torch.tensor([0]), torch.tensor([0])))
        loss.centers.data = torch.stack([torch.zeros(1), one.view(1)])[None]
        spread.append(loss(torch.zeros(1, 1), torch.tensor([-1]), torch.tensor([0])))
    curve(axes, distance, pulled, "feature to its centre")
    curve(axes, distance, spread, "centre to centre, M = 100")
    axes.set_ylim(0, 120)
    name(axes, "distance, units of the feature", "loss, squared units", "M depends on the scale of the features")


def margin_disparity_loss(axes: Axes) -> None:
    """The head's loss over the probability that it gives to the classifier's class, in both domains."""
    odds = torch.linspace(-6, 6, POINTS)
    for domain, margin in ((0, 2.0), (0, 4.0), (1, 4.0)):
        values = [
            losses.margin_disparity(
                torch.stack([one, -one])[None] / 2, torch.tensor([0]), torch.tensor([domain]), margin
            )
            for one in odds
        ]
        curve(axes, odds.sigmoid(), values, "target" if domain else f"source, gamma = {margin:g}")
    axes.set_ylim(0, 8)
    name(axes, "probability that the head gives to the classifier's class", "loss of the head, nats", "two classes")


def class_balance(axes: Axes) -> None:
    """Weight of a class over its frequency in the target."""
    frequency = torch.linspace(0, 0.5, POINTS)
    values = [losses.class_balance(torch.tensor([[0.25, 0.75], [one, 1 - one]]))[0] for one in frequency]
    curve(axes, frequency, values)
    axes.axvline(0.25, color="grey", ls=":", lw=1)
    name(axes, "frequency of the class in the target; 0.25 in the source", "weight of the class", "conditional form")


def domain_cross_entropy(axes: Axes) -> None:
    """The loss over the log odds of the critic, for a sample of each domain."""
    odds = torch.linspace(-6, 6, POINTS)
    for domain in (0, 1):
        values = [losses.domain_cross_entropy(one.view(1), torch.tensor([domain])) for one in odds]
        curve(axes, odds, values, f"sample of domain {domain}")
    name(axes, "log odds of domain 1", "loss, nats", "log 2 at even odds")


def class_domain_cross_entropy(axes: Axes) -> None:
    """The loss of a critic with even odds, over the number of samples of a class."""
    mass = torch.linspace(0, 8, POINTS)
    for source in (0.0, 1.0, 8.0):
        # one row of each domain stands for as many samples as its mass
        values = [
            losses.class_domain_cross_entropy(torch.zeros(2, 1), torch.arange(2), torch.tensor([[source], [target]]))
            for target in mass
        ]
        curve(axes, mass, values, f"in the source {source:g}")
    axes.axhline(float(torch.tensor(2.0).log()), color="grey", ls=":", lw=1)
    name(axes, "samples of the class in the target", "loss of a critic with even odds, nats", "dotted: log 2")


def club_loss(axes: Axes) -> None:
    """The bound on jointly Gaussian values of known mutual information, with a trained estimator."""
    torch.manual_seed(0)
    correlations = torch.linspace(0.0, 0.9, 7)
    bounds = []
    for r in correlations:
        given = torch.randn(2000, 1)
        values = r * given + (1 - r**2).sqrt() * torch.randn(2000, 1)
        loss = losses.CLUBLoss(1, 1, hidden=16)
        adam = torch.optim.Adam(loss.parameters(), lr=2e-2)
        for _ in range(100):
            adam.zero_grad()
            loss(values, given).estimator.backward()
            adam.step()
        bounds.append(loss(values, given).bound)
    curve(axes, correlations, bounds, "CLUBLoss, estimator trained")
    curve(axes, correlations, correlations**2 / (1 - correlations**2), "r² / (1 - r²)")
    curve(axes, correlations, -0.5 * torch.log(1 - correlations**2), "mutual information")
    name(axes, "correlation r of two Gaussian values", "nats", "an upper bound if the estimator fits")


def minimum_class_confusion_loss(axes: Axes) -> None:
    """The loss over the difference between the logits of two samples, for several temperatures."""
    gap = torch.linspace(0, 12, POINTS)
    for temperature in (1.0, 2.5, 4.0):
        loss = losses.MinimumClassConfusionLoss(T=temperature)
        values = [loss(torch.tensor([[1.0, 0.0], [0.0, 1.0]]) * one) for one in gap]
        curve(axes, gap, values, f"T = {temperature:g}")
    name(axes, "difference of the two logits, of opposite sign for two samples", "loss", "0.5 for uniform predictions")


def consistency_loss(axes: Axes) -> None:
    """The loss over the prediction for the augmented image, for several predictions for the image itself."""
    p = torch.linspace(0.01, 0.99, POINTS)
    for q in (0.5, 0.8, 0.99):
        first = two_classes(torch.tensor([q]))
        values = [losses.consistency_loss(two_classes(one.view(1)).log(), first) for one in p]
        curve(axes, p, values, f"original image: {q:g}")
    name(
        axes,
        "augmented image: probability of the same class",
        "loss, nats",
        "cross entropy, weighted by the confidence on the original image",
    )


def labelled_cross_entropy(axes: Axes) -> None:
    """The loss over the probability of the true class, with and without label smoothing."""
    p = torch.linspace(0.01, 0.999, POINTS)
    for smoothing in (0.0, 0.05, 0.2):
        values = [
            losses.labelled_cross_entropy(two_classes(one.view(1)).log(), torch.tensor([0]), smoothing) for one in p
        ]
        curve(axes, p, values, f"smoothing {smoothing:g}")
    name(axes, "probability of the true class of two", "loss, nats", "smoothing moves the minimum below 1")


def certainty(axes: Axes) -> None:
    """Certainty over the probability of one of two classes."""
    p = torch.linspace(0, 1, POINTS)
    curve(axes, p, losses.certainty(two_classes(p)))
    name(axes, "probability of the first of two classes", "certainty", "1 - H(q) / log K")


def known_classes(axes: Axes) -> None:
    """Class over the probability of one of two classes, for several thresholds."""
    p = torch.linspace(0, 1, POINTS)
    for least in (0.0, 0.2, 0.5):
        curve(axes, p, losses.known_classes(two_classes(p), least).float(), f"least certainty {least:g}")
    axes.set_yticks([-1, 0, 1], ["unknown", "0", "1"])
    name(axes, "probability of class 0", "class", "uncertain samples are unknown")


def warm_up(axes: Axes) -> None:
    """Factor over the training progress, for each warm-up."""
    progress = torch.linspace(0, 1, POINTS)
    for one in training.WarmUp:
        curve(axes, progress, torch.tensor([one(float(p)) for p in progress]), one.value)
    name(axes, "training progress p", "factor", "warm-up of a weight")


def prototype_labeler(axes: Axes) -> None:
    """Labels, their confidence and the rejected region in a plane."""
    torch.manual_seed(0)
    labeler = labelers.PrototypeLabeler(3, 2, 600, metric="l2")
    centers = torch.tensor([[0.0, 1.0], [-1.0, -0.6], [1.0, -0.6]])
    labels = torch.arange(600) % 3
    samples = centers[labels] + 0.45 * torch.randn(600, 2)
    labeler.update(samples[:300], labels[:300])
    labeler(samples[300:], torch.arange(300))
    side = torch.linspace(-2.2, 2.2, 160)
    grid = torch.cartesian_prod(side, side)
    found = labeler(grid)
    colours = torch.tensor([matplotlib.colors.to_rgb(colour) for colour in COLOURS[:3]])
    confidence = found.weights[:, None].clamp(0, 1)
    shown = 1 - confidence + confidence * colours[found.labels.clamp(min=0)]
    shown = shown.view(160, 160, 3).transpose(0, 1).numpy()
    axes.imshow(shown, origin="lower", extent=(-2.2, 2.2, -2.2, 2.2))
    axes.scatter(*samples[300:].T.numpy(), s=4, color="black", alpha=0.5)
    name(axes, "feature 1", "feature 2", "colour: label; pale: low confidence; white: rejected (threshold 0.5)")


def random_images(axes: Axes, layer: nn.Module) -> None:
    """Digits and a photograph, augmented several times."""
    torch.manual_seed(0)
    digits = torch.as_tensor(load_digits().images[3:6]).float() / 8 - 1
    digits = interpolate(digits[:, None].expand(-1, 3, -1, -1), 64, mode="bilinear")
    photo = torch.as_tensor(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    images = torch.cat([digits, interpolate(photo[..., 80:400, 200:520], 64, mode="area")])
    rows = [images, *(layer(images) for _ in range(4))]
    tiles = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    axes.imshow(((tiles + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy())
    axes.axis("off")
    axes.set_title("first row: originals; other rows: random draws", fontsize=10)


def local_windows(axes: Axes) -> None:
    """Positions of the local windows in an image."""
    cells = torch.cartesian_prod(torch.arange(7.0), torch.arange(7.0)).T.view(1, 2, 7, 7)
    corners = corner_windows(cells, CORNER_FRACTION)
    for colour, corner in zip(COLOURS, CORNERS, strict=True):
        rows, columns = corners[corner][0].flatten(1) / 7
        place = (float(columns.min()), float(rows.min()))
        axes.add_patch(Rectangle(place, CORNER_FRACTION, CORNER_FRACTION, fill=False, ec=colour, lw=2))
    for (x, y), landmark in zip(
        np.clip(ALIGNED, LANDMARK_FRACTION / 2, 1 - LANDMARK_FRACTION / 2), LANDMARKS, strict=True
    ):
        place = (x - LANDMARK_FRACTION / 2, y - LANDMARK_FRACTION / 2)
        axes.add_patch(
            Rectangle(place, LANDMARK_FRACTION, LANDMARK_FRACTION, fill=True, fc="#0000000a", ec="grey", ls=":")
        )
        axes.annotate(landmark, (x, y), ha="center", fontsize=7)
    axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
    name(axes, "fraction of width", "fraction of height", "colour: four corners; dotted: landmarks of an aligned face")


PICTURES: dict[str, Callable[[Axes], None]] = {
    "AdversarialMILoss": class_balance,
    "CLUBLoss": club_loss,
    "ClassBalance": class_balance,
    "MinimumClassConfusionLoss": minimum_class_confusion_loss,
    "CosineMarginLoss": cosine_margin_loss,
    "LocalWindows": local_windows,
    "MarginDisparityLoss": margin_disparity_loss,
    "MarginMetricLoss": margin_metric_loss,
    "PrototypeLabeler": prototype_labeler,
    "RandomAffine": lambda axes: random_images(axes, augment.RandomAffine()),
    "RandomConvolution": lambda axes: random_images(axes, augment.RandomConvolution()),
    "certainty": certainty,
    "class_balance": class_balance,
    "class_domain_cross_entropy": class_domain_cross_entropy,
    "consistency_loss": consistency_loss,
    "domain_cross_entropy": domain_cross_entropy,
    "known_classes": known_classes,
    "labelled_cross_entropy": labelled_cross_entropy,
    "WarmUp": warm_up,
}


def draw(public_name: str, path: Path) -> Path:
    """Draws the picture of a name and returns its path."""
    figure, axes = plt.subplots(figsize=(6, 4))
    PICTURES[public_name](axes)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    return path
