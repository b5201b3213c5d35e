"""One training run: its networks, batches, scores and checkpoints."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.containers import Misc, Models
from torch import Tensor, nn
from torch.utils.data import Dataset

from .. import keys
from ..adapter import DMSRL
from ..components import dmsrl_components
from ..recipe import Recipe
from ..training.checkpoints import write
from .backward_pass import BackwardPass
from .batches import DrawnBatches, in_order, loader, training_batches
from .checkpoint import Checkpoint
from .devices import place, unwrapped
from .frozen_inputs import frozen_inputs
from .inputs import Augment, KeptInputs, ReadInputs
from .kept_labels import KeptLabels
from .loop import Step, training_steps
from .networks import Network
from .optimizers import OptimizerSettings, make_optimizers, make_schedules
from .outputs import outputs_of
from .peak_memory import peak_memory, start_peak_memory
from .run_data import RunData
from .settings import Settings
from .validators import SELECTOR, label_free_scores

PROBED = 500  # samples of a domain that are kept in memory for scores and figures
DATASETS = dict[str, Dataset[Any]]


@dataclass
class Progress:
    """What a run has measured.

    curve: one dict per scoring with step, losses, validators, selector, accuracy where labels are known, and
        pseudo_labels.
    """

    curve: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    peak: float | None = None
    done: int = 0


class TrainingRun:
    """A run that can be resumed.

    Args:
        data: source, target, and what is scored.
        network: new, or pretrained.
        recipe: of the parts.
        settings: of the run.
        fabric: devices and precision.
        folder: of the run's checkpoints.
        augment: a function of the user's, or None.
        workers: processes that read images.
    """

    def __init__(
        self,
        data: RunData,
        network: Network,
        recipe: Recipe,
        settings: Settings,
        fabric: Fabric,
        folder: Path,
        augment: Augment | None = None,
        workers: int = 0,
    ) -> None:
        self.data, self.network, self.settings, self.fabric, self.folder = data, network, settings, fabric, folder
        self.recipe, self.workers = recipe, workers
        self.inputs = make_inputs(data, network, augment, settings.augment != "none", workers)
        self.is_read = not isinstance(self.inputs[keys.SRC], KeptInputs)
        self.C = nn.Linear(network.feature_dim, len(data.classes))
        self.adapter = make_adapter(self, recipe)
        self.backward = BackwardPass(fabric, self.adapter, settings.clip, settings.accumulate)
        self.probes = {domain: probe(inputs, workers) for domain, inputs in self.inputs.items()}
        self.before = self.embedding()
        self.progress = Progress()

    def to_inputs(self, batch: Tensor) -> Tensor:
        """Returns a batch of a loader as the trained network takes it, on its device."""
        batch = self.fabric.to_device(batch)
        return self.network.inputs.normalise(batch) if self.is_read else batch

    def batches(self, done: int) -> Iterator[dict[str, Tensor]]:
        """Yields training batches after the first `done`."""
        rank, processes, size = self.fabric.global_rank, self.fabric.world_size, self.settings.batch_size
        parts = []
        for number, inputs in enumerate(self.inputs.values()):
            count = len(inputs)  # type: ignore[arg-type]
            draws = DrawnBatches(count, size, 2 * self.settings.seed + number, done, rank, processes)
            parts.append(loader(inputs, draws, self.workers if self.is_read else 0))
        return training_batches(iter(parts[0]), iter(parts[1]), self.to_inputs)

    def run(self, on_step: Callable[[Step, Progress], None], resume: bool = False) -> None:
        """Trains to the end, or until early stopping; the trained networks are in `network` and `C`.

        Args:
            on_step: called after each step.
            resume: continue from the last checkpoint, if there is one.

        Raises:
            ValueError: checkpoints of a run with other settings.
            OSError: the state cannot be written; the checkpoint before stays.
        """
        settings, progress = self.settings, self.progress
        checkpoint = Checkpoint(self.folder, settings.as_dict(), {"backward": self.backward})
        if resume and (found := checkpoint.resume(self.adapter)):
            progress.__dict__.update(found)
        kept = KeptLabels(self.adapter, None)
        stops = set(np.linspace(0, settings.steps, settings.scorings + 1).round().astype(int)[1:].tolist())
        start, before = time.perf_counter(), progress.seconds
        start_peak_memory(self.fabric.device)
        self.adapter.models.train()
        steps = training_steps(
            self.adapter, self.batches(progress.done), settings.steps, self.fabric, progress.done, None, self.backward
        )
        for step in steps:
            progress.done = step.number
            if step.number in stops:
                now = {"step": step.number, **self.scores(), "losses": step.losses, **kept.look()}
                progress.curve.append(now)
                progress.seconds = before + time.perf_counter() - start
                peaks = filter(None, (progress.peak, peak_memory(self.fabric.device)))
                progress.peak = max(peaks, default=None)
                self.keep_best()
                checkpoint.save(self.adapter, dict(vars(progress)))
            on_step(step, progress)
            if self.is_over():
                break
        if settings.early_stopping:
            self.take_best()

    def scores(self) -> dict[str, Any]:
        """Returns label-free scores of the target, and the accuracy of the probe where labels are known."""
        seen = self.outputs(keys.TARGET)
        # the same in all processes, whose batch statistics differ, so that they stop together
        label_free = self.fabric.broadcast(label_free_scores(seen))
        truth = None if self.data.is_scored_on_test else self.data.scored.labels
        right = None if truth is None else seen["preds"].argmax(1) == truth[self.probes[keys.TARGET]["row"]]
        accuracy = None if right is None else float(right.float().mean())
        return {"validators": label_free, "selector": label_free[SELECTOR], "accuracy": accuracy}

    def outputs(self, domain: str) -> dict[str, Tensor]:
        """Returns features, logits and probabilities of the probe of a domain."""
        parts = map(self.to_inputs, self.probes[domain]["inputs"].split(self.settings.batch_size))
        return outputs_of(self.adapter, parts, int(domain == keys.TARGET))

    def embedding(self) -> dict[str, Tensor]:
        """Returns features of the probes of both domains, float32 (n, D), by domain."""
        return {domain: self.outputs(domain)["features"].float() for domain in self.inputs}

    def examples(self, count: int) -> Tensor:
        """Returns some prepared inputs of the target."""
        rows = self.probes[keys.TARGET]["row"][:count].tolist()
        prepared = ReadInputs(self.data.target, self.network.inputs)
        return torch.stack([prepared[(row, 0)]["inputs"] for row in rows])

    @property
    def best_path(self) -> Path:
        """File of the networks at the best score."""
        return self.folder / "best.pt"

    def keep_best(self) -> None:
        """With early stopping, writes the networks if their score is the best so far."""
        scores = [point["selector"] for point in self.progress.curve]
        if self.settings.early_stopping and best(scores) == len(scores) - 1 and self.fabric.is_global_zero:
            write({key: unwrapped(self.adapter.models[key]).state_dict() for key in (keys.G, keys.C)}, self.best_path)

    def take_best(self) -> None:
        """Loads the networks of the best score."""
        self.fabric.barrier()
        if self.best_path.is_file():
            for key, state in torch.load(self.best_path, weights_only=True).items():
                unwrapped(self.adapter.models[key]).load_state_dict(state)

    def is_over(self) -> bool:
        """Whether early stopping has waited long enough."""
        scores = [point["selector"] for point in self.progress.curve]
        patience = self.settings.early_stopping
        return bool(patience and scores and len(scores) - 1 - best(scores) >= patience)


def best(scores: list[float | None]) -> int:
    """Returns the place of the first best score; None, of a model that diverged, counts as worst."""
    return int(np.argmax([-np.inf if score is None else score for score in scores]))


def make_inputs(data: RunData, network: Network, augment: Augment | None, is_augmented: bool, workers: int) -> DATASETS:
    """Returns the inputs of the trained network, by domain."""
    parts = {keys.SRC: data.source, keys.TARGET: data.target}
    if network.before is None:
        return {domain: ReadInputs(samples, network.inputs, augment) for domain, samples in parts.items()}
    return {domain: frozen_inputs(samples, network.inputs, is_augmented, workers) for domain, samples in parts.items()}


def make_adapter(run: TrainingRun, recipe: Recipe) -> BaseAdapter:
    """Returns the adapter of a run, on its device."""
    settings, network = run.settings, run.network
    num_target = len(run.inputs[keys.TARGET])  # type: ignore[arg-type]
    parts = dmsrl_components(network.feature_dim, len(run.data.classes), num_target, recipe, settings.steps)
    models = {keys.G: network.G, keys.C: run.C, **parts.models}
    is_pretrained = network.pretrained is not None
    chosen = OptimizerSettings(settings.optimizer, settings.lr, settings.weight_decay).complete(is_pretrained)
    for module in models.values():
        module.to(run.fabric.device)
    optimizers = make_optimizers(models, network.pretrained, recipe, chosen)
    schedules = make_schedules(optimizers, settings.steps, is_pretrained)
    adapter = DMSRL(models=Models(models), optimizers=optimizers, lr_schedulers=schedules, misc=Misc(dict(parts.misc)))
    place(adapter, run.fabric)
    return adapter


def probe(inputs: Any, workers: int) -> dict[str, Tensor]:
    """Returns some random inputs with their labels and rows, the same at every call."""
    rows = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))[:PROBED].tolist()
    batches = list(loader(inputs, in_order(rows, 50), workers))
    return {key: torch.cat([batch[key] for batch in batches]) for key in ("inputs", "label", "row")}
