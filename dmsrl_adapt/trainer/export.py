"""Models for other programs: ONNX and torch.export, with all that is needed to use them inside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .model import Model

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
CLOSE = 1e-4  # largest difference of a probability
INPUT, OUTPUT = "input", "probabilities"


class Deployed(nn.Module):
    """A model in one module: of images it takes values 0..1, which it scales itself.

    Args:
        model: the model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.classifier, self.inputs = model.classifier, model.inputs
        self.is_image, self.temperature = model.inputs.kind == "image", model.confidence.plain_temperature
        self.register_buffer("mean", torch.tensor(model.inputs.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(model.inputs.std).view(-1, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns class probabilities, shape (N, K), of inputs, float32 (N, *shape)."""
        scaled = (inputs - self.mean) / self.std if self.is_image else inputs
        return (self.classifier(scaled)[1] / self.temperature).softmax(1)


def export(model: Model, path: str | Path, form: str = "onnx") -> float:
    """Writes a model for other programs, for batches of any size, and checks it on images of the target.

    The file holds, as metadata "dmsrl_adapt" in JSON, the classes and the preprocessing: `shape`, `crop` and
    `interpolation` by which an image becomes an input with values 0..1. Output: class probabilities at the temperature
    of the model's confidence.

    Args:
        model: a trained model.
        path: of the file.
        form: "onnx" or "torch", for `torch.export`.

    Returns:
        The largest difference of a probability.

    Raises:
        ValueError: an unknown form, or a difference above 1e-4; the file is removed.
        ImportError: ONNX without onnx, onnxscript or onnxruntime.
    """
    if form not in SUFFIXES:
        raise ValueError(f"form must be one of {', '.join(SUFFIXES)}, got {form!r}")
    path, deployed = Path(path), Deployed(model.to("cpu")).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = 255 if model.inputs.kind == "image" else 1
    inputs = model.examples.float() / scale
    write = write_onnx if form == "onnx" else write_torch
    write(deployed, inputs, path, metadata(model))
    run = run_onnx if form == "onnx" else run_torch
    with torch.no_grad():
        # one and all: the batch is of any size
        difference = max(float((run(path, part) - deployed(part)).abs().max()) for part in (inputs[:1], inputs))
    if not difference <= CLOSE:
        path.unlink()
        raise ValueError(f"{path} must give the model's probabilities to {CLOSE}, they differ by {difference:.1e}")
    return difference


def metadata(model: Model) -> dict[str, str]:
    """Returns what a user of the file needs, as texts."""
    about = {"classes": list(model.classes), "preprocessing": model.inputs.as_dict(), "values": "0..1"}
    return {"dmsrl_adapt": json.dumps(about)}


def write_torch(deployed: nn.Module, inputs: Tensor, path: Path, about: dict[str, str]) -> None:
    """Writes a file of `torch.export`, with the metadata as extra files."""
    program = torch.export.export(deployed, (inputs,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path, extra_files=about)


def run_torch(path: Path, inputs: Tensor) -> Tensor:
    """Returns the output of a file of `torch.export`."""
    outputs: Tensor = torch.export.load(path).module()(inputs)
    return outputs


def write_onnx(deployed: nn.Module, inputs: Tensor, path: Path, about: dict[str, str]) -> None:
    """Writes an ONNX file with its weights inside."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"ONNX needs packages: pip install onnx onnxscript onnxruntime ({error})") from error
    batch = torch.export.Dim("batch")
    names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    torch.onnx.export(
        deployed,
        (inputs,),
        path,
        dynamic_shapes=({0: batch},),
        dynamo=True,
        external_data=False,
        verbose=False,
        **names,
    )
    written = onnx.load(path)
    onnx.helper.set_model_props(written, about)
    onnx.save(written, path)


def run_onnx(path: Path, inputs: Tensor) -> Tensor:
    """Returns the output of an ONNX file."""
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {INPUT: inputs.numpy().astype(np.float32)})
    return torch.from_numpy(outputs)
