"""Models for other programs give the probabilities of the model, for any number of images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dmsrl_adapt import Model
from dmsrl_adapt.cli import main
from dmsrl_adapt.trainer import export as exporting
from dmsrl_adapt.trainer.export import export


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_a_file_gives_the_models_probabilities_and_tells_how_to_use_it(
    form: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"new/model{exporting.SUFFIXES[form]}"
    if form == "onnx":
        onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    assert main(["export", str(trained / "model.pt"), "--format", form, "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}\nits probabilities differ from the model's by at most ")
    model = Model.load(trained / "model.pt")
    images = torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8)
    logits = model.outputs(images)[1]
    wanted = (logits / model.confidence.plain_temperature).softmax(1)
    if form == "onnx":
        session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"input": images.numpy().astype(np.float32) / 255})
        about = {one.key: one.value for one in onnx.load(out).metadata_props}
    else:
        about = {"dmsrl_adapt": ""}
        found = torch.export.load(out, extra_files=about).module()(images / 255).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    told = json.loads(about["dmsrl_adapt"])
    assert told["classes"] == ["sky", "wall"] and told["preprocessing"]["shape"] == [3, 24, 24]


def test_a_file_that_differs_is_not_kept(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(path: Path, inputs: Tensor) -> Tensor:
        return torch.full((len(inputs), 2), 0.5)

    monkeypatch.setattr(exporting, "run_torch", other)
    with pytest.raises(ValueError, match=r"must give the model's probabilities to 0\.0001, they differ by"):
        export(Model.load(trained / "model.pt"), tmp_path / "model.pt2", "torch")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="form must be one of onnx, torch, got 'tflite'"):
        export(Model.load(trained / "model.pt"), tmp_path / "model", "tflite")
