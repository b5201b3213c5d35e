"""The report of a run: what it did, how it went, and what to look at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .page import Chapter, write_page
from .predictions import Predictions
from .report_figures import class_mix, confusion, curves, embeddings
from .run_folder import RunFolder
from .settings import Settings

ESTIMATE = """Estimated accuracy without labels of the target: {estimate:.1f} %. It is the mean confidence of the
predictions. {calibration} Where a model errs with confidence, as it does under a large shift, the estimate is too
high."""
SCORE = """The label-free score is information maximisation: how certain and how diverse the predictions for the target
are, at most the logarithm of the number of classes, here {most:.2f}. It separates runs that failed from runs that
worked; a higher score often, but not always, means a higher accuracy."""


def write_report(
    folder: RunFolder,
    settings: Settings,
    curve: list[dict[str, Any]],
    found: Predictions,
    source_labels: Tensor,
    features: Mapping[str, Mapping[str, Tensor]],
    facts: Mapping[str, Any],
) -> Path:
    """Writes the report of a run; returns its path.

    Args:
        folder: of the run; figures go into `pictures`.
        settings: of the run.
        curve: its scorings.
        found: predictions for the scored samples.
        source_labels: of the source, int64 (N,).
        features: by moment, "before" and "after", features of both domains.
        facts: seconds, peak_memory, accuracy, estimate and calibration.
    """
    pictures = folder.path / "pictures"
    chapters = [
        overview(folder, settings, found, facts),
        Chapter(
            "Training", [SCORE.format(most=np.log(len(found.classes)))], pictures=training(curve, features, pictures)
        ),
        Chapter("Predictions", pictures=predicted(folder, found, source_labels, pictures)),
    ]
    write_page(folder.report, f"Adaptation: {folder.path.resolve().name}", chapters)
    return folder.report


def overview(folder: RunFolder, settings: Settings, found: Predictions, facts: Mapping[str, Any]) -> Chapter:
    """Returns the first chapter: what was done and what came out."""
    texts = [f"To repeat this run: {settings.command(str(folder.path))}"]
    if facts["accuracy"] is not None:
        texts.append(f"Accuracy on {len(found)} labelled samples of the target: {100 * facts['accuracy']:.1f} %.")
    texts.append(ESTIMATE.format(estimate=100 * facts["estimate"], calibration=facts["calibration"]))
    peak = facts["peak_memory"]
    memory = "" if peak is None else f", with at most {peak:.0f} MiB of memory"
    texts.append(f"Training took {facts['seconds']:.0f} s{memory}.")
    if left := found.left_out:
        texts.append(f"{len(left)} files were left out, such as {left[0][0]}: {left[0][1]}")
    rows = [
        ["setting", "value"],
        *([key, str(value)] for key, value in settings.as_dict().items() if value is not None),
    ]
    counts = [["predicted class", "samples"], *([name, str(count)] for name, count in found.counts.most_common())]
    return Chapter("Overview", texts, [("", rows), ("", counts)])


def training(
    curve: list[dict[str, Any]], features: Mapping[str, Mapping[str, Tensor]], folder: Path
) -> list[tuple[str, Path]]:
    """Returns the figures of training."""
    drawn = [("Losses and scores", curves(curve, folder / "curves.png"))] if curve else []
    names = {"source": "src", "target": "target"}
    panels = {
        moment: {name: of_moment[key].numpy() for name, key in names.items()} for moment, of_moment in features.items()
    }
    if path := embeddings(panels, folder / "embedding.png"):
        drawn.append(("Features of both domains before and after training, by t-SNE", path))
    return drawn


def predicted(folder: RunFolder, found: Predictions, source_labels: Tensor, pictures: Path) -> list[tuple[str, Path]]:
    """Returns the figures of the predictions."""
    count = len(found.classes)
    of_source, of_target = (
        (torch.bincount(labels, minlength=count) / max(len(labels), 1)).tolist()
        for labels in (source_labels, found.numbers)
    )
    drawn = [("Share of each class", class_mix(found.classes, of_source, of_target, pictures / "classes.png"))]
    if found.samples.labels is not None:
        truth = found.samples.labels[found.places]
        matrix = torch.bincount(count * truth + found.numbers, minlength=count**2).view(count, count).numpy()
        drawn.append(("Confusion, % of each true class", confusion(found.classes, matrix, pictures / "confusion.png")))
    if (sheet := folder.table.with_suffix(".png")).is_file():
        drawn.append(("The most and the least certain images", sheet))
    return drawn
