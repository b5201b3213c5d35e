"""How far the confidence of predictions counts and ranks, on tasks whose labels are known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dmsrl_adapt.trainer.confidence import VIEWS, Confidence, Seen, view_of

from .methods import get_method
from .provenance import commit, versions
from .results import write_whole
from .tasks import DataPlace, Split, load_task
from .training import Plan, infer, to_inputs, train

BINS = 15  # of the expected calibration error
MOST = 1000  # samples of a part
CALIBRATED = 300  # target samples by which the confidence is set


def seen(adapter: Any, split: Split) -> Seen:
    """Returns the outputs of a trained method for target samples and for augmented views of them."""
    rows = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:MOST]
    some = split.take(rows)
    plain = infer(adapter, some.inputs, 1)
    if some.augmented is not None:
        views = [infer(adapter, some.augmented[:, number], 1)["logits"] for number in range(VIEWS)]
    elif some.inputs.ndim == 4:
        images = to_inputs(some.inputs)
        views = [infer(adapter, view_of(images, number), 1)["logits"] for number in range(VIEWS)]
    else:
        return Seen(plain["features"], plain["logits"])
    return Seen(plain["features"], plain["logits"], torch.stack(views))


def calibration_error(confidences: Tensor, are_right: Tensor) -> float:
    """Returns the expected calibration error over equal bins, 0..1.

    Args:
        confidences: 0..1, shape (N,).
        are_right: bool, shape (N,).

    Examples:
        >>> calibration_error(torch.tensor([0.9, 0.9]), torch.tensor([True, False]))
        0.4
    """
    bins = (confidences * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS).index_add_(0, bins, confidences - are_right.float())
    return round(float(gaps.abs().sum() / len(confidences)), 6)


def scores(confidences: Tensor, are_right: Tensor) -> dict[str, float]:
    """Returns calibration error, and area under the curve of telling right from wrong labels, 0..1."""
    area = float(roc_auc_score(are_right.numpy(), confidences.numpy()))
    return {"error": calibration_error(confidences, are_right), "area": area}


def measure(name: str, place: DataPlace, seed: int, steps: int) -> dict[str, Any]:
    """Trains the default recipe on a task, and compares its confidence with the softmax on the target's test part."""
    task = load_task(name, place)
    adapter = train(task, get_method("dmsrl"), seed, Plan(steps=steps, scorings=1)).adapter
    rows = torch.arange(min(CALIBRATED, len(task.target_train)))
    confidence, test = Confidence.fit(seen(adapter, task.target_train.take(rows))), seen(adapter, task.target_test)
    order = torch.randperm(len(task.target_test), generator=torch.Generator().manual_seed(0))[:MOST]
    labels = test.logits.argmax(1)
    are_right = labels == task.target_test.known_labels[order]

    def of_labels(probs: Tensor) -> Tensor:
        return probs.gather(1, labels[:, None])[:, 0]

    return {
        "task": name,
        "seed": seed,
        "steps": steps,
        "accuracy": float(are_right.float().mean()),
        "agreement": confidence.agreement,
        "softmax": scores(of_labels(test.logits.softmax(1)), are_right),
        "confidence": scores(of_labels(confidence(test)), are_right),
    }


def write_confidence(folder: Path, names: list[str], place: DataPlace, seed: int, steps: int) -> dict[str, Any]:
    """Measures tasks, writes `confidence.json` in a folder, and returns its content."""
    runs = [measure(name, place, seed, steps) for name in names]
    result = {"runs": runs, "versions": versions(), "commit": commit()}
    write_whole(folder / "confidence.json", result)
    return result


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the content of `confidence.json` as a table, one row per task."""
    of = ["error: softmax", "error: confidence", "area: softmax", "area: confidence"]
    table = [["task", "accuracy, %", "agreement, %", *of]]
    for run in result["runs"]:
        agreement = "-" if run["agreement"] is None else f"{100 * run['agreement']:.1f}"
        errors, areas = ([run[kind][key] for kind in ("softmax", "confidence")] for key in ("error", "area"))
        cells = [f"{100 * run['accuracy']:.1f}", agreement, *(f"{one:.3f}" for one in [*errors, *areas])]
        table.append([run["task"], *cells])
    columns = [(kind, key) for key in ("error", "area") for kind in ("softmax", "confidence")]
    means = [np.mean([run[kind][key] for run in result["runs"]]) for kind, key in columns]
    return [*table, ["mean", "", "", *(f"{one:.3f}" for one in means)]]
