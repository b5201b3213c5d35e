"""One call: two data sets in, a model that labels a third out."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from torch import Tensor, nn

from .. import keys
from ..recipe import Recipe, described, get_recipe
from .batches import default_workers
from .devices import make_fabric, unwrapped
from .loop import Step
from .model import Model
from .networks import FROZEN, height_and_width, make_network
from .progress_bar import ProgressBar, warnings_in_one_line
from .report import write_report
from .run_data import RunData, identity, read_run_data
from .run_folder import RunFolder
from .run_recipe import LossFunction, resolved_augment, run_recipe
from .settings import DEFAULT_STEPS, Settings
from .training_run import Progress, TrainingRun
from .trials import best_of_trials
from .versions import versions

EXAMPLES = 8  # target inputs in a model file
CALIBRATED = 300  # target inputs by which the confidence is set


@dataclass
class Run:
    """A finished run.

    model: the trained model.
    folder: with its files.
    settings: all plain settings.
    curve: one dict per scoring, see `Progress`.
    accuracy: of the scored samples where their labels are known, 0..1, else None.
    seconds: of training.
    peak_memory: of training in MiB, where the system tells.
    """

    model: Model = field(repr=False)
    folder: Path
    settings: dict[str, Any] = field(repr=False)
    curve: list[dict[str, Any]] = field(default_factory=list, repr=False)
    accuracy: float | None = None
    seconds: float = 0.0
    peak_memory: float | None = None

    @property
    def report(self) -> Path:
        """The report, an HTML file."""
        return RunFolder(self.folder).report


def train(
    source: Any,
    target: Any,
    target_test: Any = None,
    model: str | nn.Module = "resnet18",
    out: str | Path = "runs/adapted",
    recipe: str | Recipe = "default",
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int = 64,
    optimizer: str | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    augment: str | Callable[[Tensor], Tensor] | None = None,
    weights: str | Path | None = None,
    loss_fn: LossFunction | None = None,
    class_weights: Sequence[float] | None = None,
    clip: float | None = None,
    accumulate: int = 1,
    precision: str = "32-true",
    devices: int = 1,
    scorings: int = 8,
    early_stopping: int | None = None,
    trials: int = 0,
    resume: bool = False,
    workers: int | None = None,
    loggers: Sequence[str] = ("csv",),
    is_shown: bool = True,
) -> Run:
    """Adapts a model from a labelled source to an unlabelled target, and returns it.

    Args:
        source: labelled data, as `dmsrl_adapt.data.open_data` takes it: a folder of class folders, a table, an .npz, a
            data set of torch or of Hugging Face.
        target: data without labels; labels that it has are for scoring only.
        target_test: further data of the target, to be labelled and scored at the end; None for the target itself.
        model: name of a timm model, "frozen" for features of an EfficientNet-Lite0 and a trained head, or a module from
            inputs to features (N, D) or maps. Of feature vectors, the name does not count.
        out: folder of the run; new, empty, or with this run and `resume`.
        recipe: "default", "published", "source_only" or a `Recipe`.
        steps: training steps; 400 by default.
        epochs: passes over the larger of the two data sets, in place of `steps`.
        batch_size: samples of each domain in a step of each process.
        optimizer: name in timm's factory; by default AdamW for a pretrained network, else Adam.
        lr: learning rate of new layers; a pretrained network has a tenth of it.
        weight_decay: of the optimizer.
        seed: of the run.
        size: side, or height and width, of the images that the network takes, in pixels.
        augment: what images are: "photo" for photographs and drawings, which the recipe may turn and recolour, "none"
            for others, or your own function from an input of the network, uint8 (3, H, W) for images, to another.
        weights: file of weights for a timm model, or "random"; None for timm's own, which it downloads.
        loss_fn: loss of the source, from logits (N, K) and labels (N,) to (N,) or a scalar.
        class_weights: of the source's cross entropy, one for each class.
        clip: largest norm of the gradients.
        accumulate: batches of an optimizer step.
        precision: of Lightning Fabric: "32-true", "bf16-mixed", "16-mixed".
        devices: processes with a device each, by DDP.
        scorings: number of times that the label-free scores are computed, at equal distances; each saves a checkpoint.
        early_stopping: stop after so many scorings without a better label-free score, and take the best. The score can
            err.
        trials: number of short runs, each with a quarter of the steps, of other settings from which the label-free
            score chooses first; they lie in a folder beside `out`. 0 for none.
        resume: continue the run in `out`, exactly.
        workers: processes that read images; None for one for each core but one.
        loggers: "csv", "tensorboard".
        is_shown: whether to show a bar and notes.

    Raises:
        DataError: data that is missing or does not fit, see `open_data`.
        ValueError: an argument out of range, or an `out` with another run.
        OSError: weights or files that cannot be read or written.
    """
    given = dict(locals())
    if steps is not None and epochs is not None:
        raise ValueError("steps and epochs cannot be given together")
    torch.manual_seed(seed)
    np.random.seed(seed)
    data = read_run_data(source, target, target_test)
    length = number_of_steps(steps, epochs, data, batch_size)
    if trials:
        return train(**best_of_trials(train, given, length))
    chosen_augment = resolved_augment(augment, data.source.kind, model == FROZEN)
    chosen = run_recipe(recipe, chosen_augment, len(data.classes), loss_fn, class_weights)
    settings = Settings(
        source=identity(source),
        target=identity(target),
        target_test=None if target_test is None else identity(target_test),
        model=model if isinstance(model, str) else type(model).__name__,
        recipe=recipe if isinstance(recipe, str) else described(get_recipe(recipe)),
        steps=length,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        size=height_and_width(size),
        augment=chosen_augment,
        weights=None if weights is None else str(weights),
        clip=clip,
        accumulate=accumulate,
        precision=precision,
        devices=devices,
        scorings=scorings,
        early_stopping=early_stopping,
    )
    network = make_network(model, data.source, size, weights)
    folder = RunFolder(out)
    fabric = make_fabric(devices, precision, loggers=make_loggers(loggers, folder.logs))
    fabric.launch()
    if fabric.is_global_zero:
        folder.begin(settings.as_dict(), resume)
    fabric.barrier()
    own = augment if callable(augment) else None
    readers = default_workers() if workers is None else workers
    data = data.with_size(network.inputs.decoded)
    with warnings_in_one_line():
        tell(data, settings, is_shown and fabric.is_global_zero)
        run = TrainingRun(data, network, chosen, settings, fabric, folder.checkpoints, own, readers)
        return carried_out(run, folder, resume, is_shown and fabric.is_global_zero)


def carried_out(run: TrainingRun, folder: RunFolder, resume: bool, is_shown: bool) -> Run:
    """Trains, and writes the model, the labels of the scored samples and the report.

    Ctrl-C writes the model as it is, and ends.
    """
    bar: list[ProgressBar] = []

    def on_step(step: Step, progress: Progress) -> None:
        if not bar:
            images = 2 * run.settings.batch_size * run.fabric.world_size
            bar.append(ProgressBar(run.settings.steps, step.number - 1, images, is_shown))
        bar[0](step, progress)
        if step.number % 10 == 0 or step.number == run.settings.steps:
            run.fabric.log_dict(logged(step, progress), step.number)

    try:
        run.run(on_step, resume)
        if run.fabric.is_global_zero:  # kept, whatever happens while the confidence is calibrated
            made_model(run, is_finished=False).save(folder.model)
    except KeyboardInterrupt:
        made_model(run, is_finished=False).save(folder.model)
        say(f"\ninterrupted after step {run.progress.done}; the model as it is: {folder.model}", is_shown)
        raise
    finally:
        for one in bar:
            one.close()
        for logger in run.fabric.loggers:
            logger.finalize("success")
    return finished(run, folder, is_shown)


def finished(run: TrainingRun, folder: RunFolder, is_shown: bool) -> Run:
    """Writes what a finished run gives, and returns it."""
    model, progress = made_model(run), run.progress
    if run.fabric.is_global_zero:
        model.save(folder.model)
        found = model.predict(run.data.scored, workers=run.workers)
        found.write(folder.table)
        accuracy = found.accuracy
        facts: dict[str, Any] = {"accuracy": accuracy, "seconds": progress.seconds, "peak_memory": progress.peak}
        folder.write({"settings": run.settings.as_dict(), **facts, "versions": versions(), "curve": progress.curve})
        estimate = {"estimate": float(found.confidence.mean()), "calibration": model.confidence.description}
        features = {"before": run.before, "after": run.embedding()}
        labels = torch.as_tensor(run.data.source.labels)
        write_report(folder, run.settings, progress.curve, found, labels, features, {**facts, **estimate})
        if accuracy is not None:
            where = "others than it was adapted to" if run.data.is_scored_on_test else "that it was adapted to"
            say(f"accuracy: {100 * accuracy:.1f} % of {len(found)} images of the target, {where}", is_shown)
        say(f"model: {folder.model}\nlabels: {folder.table}\nreport: {folder.report}", is_shown)
        return Run(model, folder.path, run.settings.as_dict(), progress.curve, **facts)
    return Run(model, folder.path, run.settings.as_dict(), progress.curve)


def made_model(run: TrainingRun, is_finished: bool = True) -> Model:
    """Returns the model of a run as it is, on the CPU."""
    network, C = run.network, unwrapped(run.adapter.models[keys.C])
    network.G = unwrapped(run.adapter.models[keys.G])
    facts = {
        "settings": run.settings.as_dict(),
        "recipe": run.recipe.settings,
        "step": run.progress.done,
        "is_finished": is_finished,
        "versions": versions(),
    }
    examples = run.examples(CALIBRATED if is_finished else EXAMPLES)
    model = Model(network, C, run.data.classes, facts=facts, examples=examples[:EXAMPLES].clone()).to("cpu")
    if is_finished:
        model.calibrate(examples)
    return model


def number_of_steps(steps: int | None, epochs: float | None, data: RunData, batch_size: int) -> int:
    """Returns the number of training steps."""
    if epochs is None:
        return DEFAULT_STEPS if steps is None else steps
    return max(1, round(epochs * max(len(data.source), len(data.target)) / batch_size))


def make_loggers(names: Sequence[str], folder: Path) -> list[Any]:
    """Returns Fabric's loggers. Raises `ValueError` for an unknown name, and `ImportError` for a missing package."""
    known: dict[str, Any] = {"csv": CSVLogger, "tensorboard": TensorBoardLogger}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"loggers must be of {', '.join(known)}, got {unknown}")
    try:
        return [known[name](root_dir=folder, name=name) for name in names]
    except ModuleNotFoundError as error:
        raise ImportError(f"this logger needs a package: pip install tensorboard ({error})") from error


def logged(step: Step, progress: Progress) -> dict[str, float]:
    """Returns the losses of a step and the last scores, for loggers."""
    losses = {f"{part}/{key}": loss for part, one in step.losses.items() for key, loss in one.items()}
    last: dict[str, Any] = progress.curve[-1] if progress.curve else {}
    scores = {key: last[key] for key in ("selector", "accuracy") if last.get(key) is not None}
    return {**losses, **scores}


def tell(data: RunData, settings: Settings, is_shown: bool) -> None:
    """Prints what a run is of."""
    for note in data.notes:
        say(f"note: {note}", is_shown)
    parts = f"{len(data.source)} of the source and {len(data.target)} of the target"
    classes = f"{len(data.classes)} classes: {', '.join(data.classes[:10])}"
    say(f"training {settings.model} ({settings.recipe}) on {parts}, {classes}", is_shown)


def say(text: str, is_shown: bool) -> None:
    """Prints a line for the user beside the results."""
    if is_shown:
        print(text, file=sys.stderr)
