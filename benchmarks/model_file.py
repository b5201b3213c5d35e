"""Model files for prediction: networks, classes, image transform and settings."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor

from dmsrl_adapt import keys
from dmsrl_adapt.trainer.frozen_features import NETWORK, frozen_features
from dmsrl_adapt.training.checkpoints import read_archive, write

from .grid import OwnTask
from .methods import Method, Setup, get_method
from .provenance import commit, versions
from .tasks import DataError, Task
from .training import Outcome, Plan, infer, setup_of

FORMAT = "dmsrl_adapt model, form 1"


@dataclass(frozen=True)
class Model:
    """A trained classifier of images.

    shape: of an input of the adapter, (C, H, W) or (D,).
    size: side of the images in pixels.
    is_frozen: whether the adapter takes features of the frozen network instead of images.
    """

    adapter: BaseAdapter
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    size: int
    is_frozen: bool

    def class_probs(self, images: Tensor) -> Tensor:
        """Returns class probabilities, float32 (N, K), of target images, uint8 (N, 3, size, size).

        Raises `ValueError` for a model that was trained on other inputs, such as feature vectors.
        """
        inputs = frozen_features(images) if self.is_frozen else images
        if tuple(inputs.shape[1:]) != self.shape:
            raise ValueError(f"the model takes inputs of shape {self.shape}, got {tuple(inputs.shape[1:])}")
        return infer(self.adapter, inputs, 1)["preds"]


def write_model(path: Path, outcome: Outcome, task: Task, own: OwnTask, method: Method, seed: int, plan: Plan) -> None:
    """Writes the model of a run atomically, as a file for `torch.load(weights_only=True)`.

    The transform of an upright RGB image with values 0..255, resized to `size` x `size` pixels, is
    `pixels * scale + shift`, or the features of the network `frozen`. Raises `OSError` if the file cannot be written.
    """
    frozen = NETWORK if own.network == "frozen" else None
    content = {
        "format": FORMAT,
        "classes": list(task.classes),
        "transform": {"size": own.size, "scale": 1 / 127.5, "shift": -1.0, "frozen": frozen},
        "method": method.name,
        "settings": dict(method.settings),
        "setup": asdict(setup_of(task, plan)),
        "run": {"task": task.name, "seed": seed, **asdict(plan)},
        "scores": {key: outcome.curve[-1][key] for key in ("accuracy", "balanced_accuracy", "selector")},
        "versions": versions(),
        "commit": commit(),
        "models": {key: outcome.adapter.models[key].state_dict() for key in (keys.G, keys.C)},
    }
    write(content, path)


def check_free(path: Path, task: str) -> None:
    """Raises `DataError` if there is a file that is not a model of this task. The model of a task may be replaced."""
    if not path.exists():
        return
    try:
        content = read_archive(path, "model file")
    except ValueError:
        content = None
    run = content.get("run") if isinstance(content, dict) and content.get("format") == FORMAT else None
    if run is None or run.get("task") != task:
        what = "no model file" if run is None else f"the model of {run.get('task')}"
        raise DataError(f"{path} is there already and is {what}; name another --out for {task}, or remove it")


def read_model(path: Path) -> Model:
    """Returns the model of a file, without running code.

    Raises `ValueError` for a file that is truncated, damaged, no model file, or does not fit the networks of this code.
    """
    content = read_archive(path, "model file")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} must be a model file ({FORMAT}) of `python -m benchmarks train`, got another")
    try:
        usual, transform = get_method(content["method"]), content["transform"]
        method = replace(usual, settings={**usual.settings, **content["settings"]})
        setup = Setup(**content["setup"])
        adapter = method.build(setup, method.settings).adapter
        for key, state in content["models"].items():
            adapter.models[key].load_state_dict(state)
        classes = tuple(content["classes"])
        return Model(adapter, classes, setup.shape, transform["size"], transform["frozen"] is not None)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        made_by = f"commit {content.get('commit')}, {content.get('versions')}"
        raise ValueError(f"{path} does not fit this code, it was made by {made_by}: {error}") from error
