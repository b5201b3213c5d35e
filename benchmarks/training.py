"""The training loop of all methods and tasks, with scoring during training."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from pytorch_adapt.adapters import BaseAdapter
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from torch import Tensor

from dmsrl_adapt import keys
from dmsrl_adapt.trainer.batches import row_batches
from dmsrl_adapt.trainer.checkpoint import Checkpoint
from dmsrl_adapt.trainer.devices import make_fabric, place
from dmsrl_adapt.trainer.kept_labels import KeptLabels
from dmsrl_adapt.trainer.loop import training_steps
from dmsrl_adapt.trainer.outputs import outputs_of
from dmsrl_adapt.trainer.peak_memory import peak_memory, start_peak_memory
from dmsrl_adapt.trainer.validators import SELECTOR, VALIDATORS, label_free_scores

from .methods import Method, Setup
from .tasks import Split, Task

WARM_UP = 5  # steps excluded from the timing
EMBEDDED = 500  # samples per domain whose features are kept for figures


@dataclass(frozen=True)
class Plan:
    """Settings of training and scoring, the same for all methods.

    scorings: number of scorings during training, at equal distances.
    score_on: "test", or "validation" for choosing settings.
    """

    steps: int = 400
    batch_size: int = 64
    scorings: int = 8
    score_on: str = "test"
    network: str = "small"


@dataclass
class Outcome:
    """Result of a run.

    adapter: with the trained networks.
    curve: one dict per scoring with step, accuracy, balanced_accuracy, validators, selector and losses, and
        pseudo_labels for a method that has them.
    predictions: predicted classes of the scored samples after the last step, int64.
    embedding: features and labels of some samples of both domains, for figures.
    peak_memory: of training in MiB, None if the system does not support it.
    """

    adapter: BaseAdapter
    curve: list[dict[str, Any]] = field(default_factory=list)
    predictions: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    embedding: dict[str, np.ndarray] = field(default_factory=dict)
    seconds_per_step: float = 0.0
    peak_memory: float | None = None


def to_inputs(samples: Tensor) -> Tensor:
    """Returns images scaled to -1..1, or feature vectors unchanged, in float32."""
    return samples.float() / 127.5 - 1 if samples.dtype == torch.uint8 else samples.float()


def batches(task: Task, batch_size: int, is_supervised: bool, seed: int, done: int = 0) -> Iterator[dict[str, Tensor]]:
    """Yields training batches with upstream's keys, starting after `done` batches.

    For supervised methods the labelled target replaces the source.
    """
    generator = torch.Generator().manual_seed(seed)
    source = task.target_train if is_supervised else task.source
    rows = [row_batches(len(split), batch_size, generator) for split in (source, task.target_train)]
    for step, (i, j) in enumerate(islice(zip(*rows, strict=True), done, None), start=done):
        yield {
            keys.imgs(keys.SRC): to_inputs(source.inputs[i]),
            keys.SRC_LABELS: source.known_labels[i],
            keys.domain_id(keys.SRC): torch.zeros(len(i)),
            "src_sample_idx": i,
            keys.imgs(keys.TARGET): to_inputs(task.target_train.inputs[j]),
            keys.domain_id(keys.TARGET): torch.ones(len(j)),
            keys.TARGET_SAMPLE_IDX: j,
            **augmented_inputs(keys.SRC, source, i, seed + step),
            **augmented_inputs(keys.TARGET, task.target_train, j, seed + step),
        }


def augmented_inputs(domain: str, split: Split, rows: Tensor, seed: int) -> dict[str, Tensor]:
    """Returns one random augmented copy of each sample under its context key; {} if the split has none."""
    if split.augmented is None:
        return {}
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(split.augmented.shape[1], (len(rows),), generator=generator)
    return {keys.augmented(domain): to_inputs(split.augmented[rows, chosen])}


def infer(adapter: BaseAdapter, inputs: Tensor, domain: int, batch_size: int = 500) -> dict[str, Tensor]:
    """Returns features, logits and predicted probabilities; see `outputs_of`."""
    return outputs_of(adapter, map(to_inputs, inputs.split(batch_size)), domain)


def accuracies(truth: Tensor | None, predicted: Tensor) -> dict[str, float | None]:
    """Returns accuracy and balanced accuracy, 0..1; None without labels."""
    if truth is None:
        return {"accuracy": None, "balanced_accuracy": None}
    with np.errstate(all="ignore"):
        balanced = balanced_accuracy_score(truth, predicted)
    return {"accuracy": float(accuracy_score(truth, predicted)), "balanced_accuracy": float(balanced)}


def train(
    task: Task,
    method: Method,
    seed: int,
    plan: Plan,
    on_step: Callable[[int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Trains a method and scores it during training; the same seed gives the same network, batches and result.

    checkpoint: the state is saved there at every scoring, and a killed run resumes from it.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    trained = method.build(setup_of(task, plan), method.settings)
    adapter = trained.adapter
    scored = task.target_test if plan.score_on == "test" else task.target_validation
    stops = set(np.linspace(0, plan.steps, plan.scorings + 1).round().astype(int)[1:])
    fabric = make_fabric()
    place(adapter, fabric)
    adapter.models.train()
    found = checkpoint.load(adapter) if checkpoint else None
    done, seconds, peak, curve = (found or {"done": 0, "seconds": [], "peak": None, "curve": []}).values()
    kept_labels = KeptLabels(adapter, task.target_train.labels)
    start_peak_memory(fabric.device)
    left = batches(task, plan.batch_size, method.is_supervised, seed, done)
    for step in training_steps(adapter, left, plan.steps, fabric, done, trained.on_progress):
        seconds.append(step.seconds)
        if step.number in stops:
            peak = max(filter(None, (peak, peak_memory(fabric.device))), default=None)
            now = {"step": step.number, **score(adapter, task, scored), "losses": step.losses}
            curve.append({**now, **kept_labels.look()})
            if checkpoint and step.number < plan.steps:
                checkpoint.save(adapter, {"done": step.number, "seconds": seconds, "peak": peak, "curve": curve})
        if on_step:
            on_step(step.number)
    predictions = infer(adapter, scored.inputs, 1)["logits"].argmax(1).numpy()
    return Outcome(adapter, curve, predictions, embedding(adapter, task, scored), undisturbed(seconds), peak)


def setup_of(task: Task, plan: Plan) -> Setup:
    """Returns the setup for the methods."""
    shape = tuple(task.source.inputs.shape[1:])
    return Setup(shape, len(task.classes), len(task.target_train), plan.steps, plan.network, task.map_shapes)


def undisturbed(seconds: list[float]) -> float:
    """Returns the lower decile of the step times, the time of a step on an otherwise idle machine."""
    counted = seconds[WARM_UP:] or seconds
    return statistics.quantiles(counted, n=10, method="inclusive")[0] if len(counted) > 1 else counted[0]


def score(adapter: BaseAdapter, task: Task, scored: Split) -> dict[str, Any]:
    """Returns accuracies on the scored part, and label-free scores on the target's training part."""
    predicted = infer(adapter, scored.inputs, 1)["logits"].argmax(1)
    label_free = label_free_scores(infer(adapter, task.target_train.inputs[:2000], 1))
    return {**accuracies(scored.labels, predicted), "validators": label_free, "selector": label_free[SELECTOR]}


def embedding(adapter: BaseAdapter, task: Task, scored: Split) -> dict[str, np.ndarray]:
    """Returns features and labels of some source samples and some scored target samples."""
    arrays = {}
    for domain, (name, split) in enumerate((("source", task.source), ("target", scored))):
        rows = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:EMBEDDED]
        some = split.take(rows)
        arrays[f"{name}_features"] = infer(adapter, some.inputs, domain)["features"].numpy().astype(np.float16)
        arrays[f"{name}_labels"] = np.full(len(some), -1) if some.labels is None else some.labels.numpy()
    return arrays


def summary(task: Task, outcome: Outcome, plan: Plan) -> dict[str, Any]:
    """Returns accuracies of the last step, of the selector's step, of the best step (oracle) and of the steps that each
    label-free validator selects, with the confusion matrix."""
    scored = task.target_test if plan.score_on == "test" else task.target_validation
    by_validator = {name: picked(outcome.curve, name) for name in VALIDATORS}
    points = {
        "last": outcome.curve[-1],
        "selected": by_validator[SELECTOR],
        "oracle": max(outcome.curve, key=lambda point: point[task.metric] or 0.0),
    }
    metrics = ("accuracy", "balanced_accuracy")
    result: dict[str, Any] = {metric: {name: point[metric] for name, point in points.items()} for metric in metrics}
    result["selected_by"] = {
        name: {metric: point[metric] for metric in metrics} for name, point in by_validator.items()
    }
    result["per_class_accuracy"] = result["confusion"] = None
    if scored.labels is not None:
        matrix = confusion_matrix(scored.labels, outcome.predictions, labels=range(len(task.classes)))
        result["confusion"] = matrix.tolist()
        result["per_class_accuracy"] = class_accuracies(matrix, task.classes)
    return result


def picked(curve: list[dict[str, Any]], validator: str) -> dict[str, Any]:
    """Returns the first point with the best score of a validator; points of a diverged model count as worst."""
    scores = [point["validators"][validator] for point in curve]
    return curve[int(np.argmax([-np.inf if score is None else score for score in scores]))]


def class_accuracies(matrix: np.ndarray, classes: tuple[str, ...]) -> Mapping[str, float | None]:
    """Returns the accuracy of each class, 0..1; None for a class without samples."""
    counts = matrix.sum(1)
    return {
        name: float(matrix[number, number] / counts[number]) if counts[number] else None
        for number, name in enumerate(classes)
    }
