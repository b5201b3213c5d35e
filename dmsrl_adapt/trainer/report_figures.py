"""Figures of a run's report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

DOMAINS = {"source": "#1f77b4", "target": "#ff7f0e"}
DRAWN = 300  # samples of a domain in an embedding
MOST_NUMBERS = 15  # largest number of classes for which a confusion matrix shows numbers


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure to a file; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    return path


def plain(axes: Axes) -> None:
    """Removes the upper and right spines."""
    axes.spines[["top", "right"]].set_visible(False)


def curves(curve: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draws losses, and label-free score with accuracy where it is known, over training steps."""
    figure = Figure(figsize=(10, 3.6))
    of_losses, of_scores = figure.subplots(1, 2)
    steps = [point["step"] for point in curve]
    for name in curve[-1]["losses"].get("total_loss", {}):
        of_losses.plot(steps, [point["losses"]["total_loss"].get(name, np.nan) for point in curve], label=name)
    of_losses.set_title("losses", fontsize=10)
    scores = [np.nan if point["selector"] is None else point["selector"] for point in curve]
    of_scores.plot(steps, scores, color="#d62728", label="label-free score")
    of_scores.set_title("target", fontsize=10)
    fractions = of_scores.twinx()
    for name, values in fractions_of(curve).items():
        fractions.plot(steps, values, "--", label=name)
    fractions.set_ylim(0, 1.03)
    of_scores.legend(handles=[*of_scores.get_lines(), *fractions.get_lines()], fontsize=8, frameon=False)
    of_losses.legend(fontsize=8, frameon=False)
    for axes in (of_losses, of_scores):
        axes.set_xlabel("training step")
        plain(axes)
    figure.tight_layout()
    return save(figure, path)


def fractions_of(curve: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Returns accuracy and share of pseudo labels that are kept, 0..1, at each scoring, where they are known."""
    found = {
        "accuracy": [point.get("accuracy") for point in curve],
        "pseudo labels kept": [(point.get("pseudo_labels") or {}).get("kept") for point in curve],
    }
    return {
        name: [np.nan if one is None else one for one in values]
        for name, values in found.items()
        if any(one is not None for one in values)
    }


def embeddings(panels: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> Path | None:
    """Draws t-SNE of the features of both domains, a panel for each moment; None for too few samples.

    Args:
        panels: by title, features (n, D) of "source" and "target".
        path: of the file.
    """
    figure = Figure(figsize=(5 * len(panels), 4.6))
    for axes, (title, features) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        parts = [features[domain][:DRAWN] for domain in DOMAINS]
        joined = np.concatenate(parts).astype(np.float32)
        if len(joined) < 12 or not np.isfinite(joined).all():
            return None
        # one thread: with several, t-SNE is very slow on a busy machine
        with threadpool_limits(1):
            tsne = TSNE(init="pca", perplexity=min(30, len(joined) // 4), random_state=0)
            places = tsne.fit_transform(joined)
        both = np.split(places, [len(parts[0])])
        for place, (domain, colour) in zip(both, DOMAINS.items(), strict=True):
            axes.scatter(*place.T, s=9, color=colour, lw=0, alpha=0.7, label=domain)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(frameon=False, fontsize=8, markerscale=2)
    return save(figure, path)


def class_mix(classes: Sequence[str], source: Sequence[float], target: Sequence[float], path: Path) -> Path:
    """Draws the share of each class in the source's labels and in the predictions for the target."""
    figure = Figure(figsize=(max(5, 0.5 * len(classes)), 3.4))
    axes, places = figure.subplots(), np.arange(len(classes))
    axes.bar(places - 0.2, 100 * np.array(source), 0.4, color=DOMAINS["source"], label="labels of the source")
    axes.bar(places + 0.2, 100 * np.array(target), 0.4, color=DOMAINS["target"], label="predictions for the target")
    axes.set_xticks(places, classes, rotation=45, ha="right", fontsize=8, parse_math=False)
    axes.set_ylabel("%")
    axes.legend(frameon=False, fontsize=8)
    plain(axes)
    return save(figure, path)


def confusion(classes: Sequence[str], matrix: np.ndarray, path: Path) -> Path:
    """Draws a confusion matrix in per cent of each true class.

    Args:
        classes: names.
        matrix: counts, shape (K, K), a row for each true class.
        path: of the file.
    """
    side = 2 + 0.42 * min(len(classes), MOST_NUMBERS)
    figure = Figure(figsize=(side, side))
    axes, rates = figure.subplots(), 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(rates, cmap=matplotlib.colormaps["Reds"], vmin=0, vmax=100)
    if len(classes) <= MOST_NUMBERS:
        for row, column in np.ndindex(rates.shape):
            if rates[row, column] >= 0.5:
                colour = "white" if rates[row, column] > 55 else "black"
                axes.text(column, row, f"{rates[row, column]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    every = max(1, len(classes) // MOST_NUMBERS)
    shown = range(0, len(classes), every)
    names = [classes[place] for place in shown]
    axes.set_xticks(shown, names, rotation=45, ha="right", fontsize=8, parse_math=False)
    axes.set_yticks(shown, names, fontsize=8, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return save(figure, path)
