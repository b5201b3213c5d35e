import json

import torch

from benchmarks import gpu


def test_without_a_gpu_the_measurements_are_rehearsed_on_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "STEPS", {"cpu": [("small", 32, 4)], "cuda": [("small", 32, 4)]})
    monkeypatch.setattr(gpu, "PASSES", dict.fromkeys(("cpu", "cuda"), gpu.Point(samples=64, dim=8, prototypes=5)))
    assert gpu.main(["--out", str(tmp_path), "--no-tests"]) == 0
    (path,) = tmp_path.glob("speed-gpu*.json")
    assert (path.stem == "speed-gpu") == torch.cuda.is_available()
    result = json.loads(path.read_text())
    assert set(result["step_without_waits"].values()) == {torch.cuda.is_available()}
    assert {one["dtype"] for one in result["ratio_to_dann"]} == {"torch.float32", "torch.bfloat16"}
    assert all(one["ratio"]["dann"] == 1 < one["ratio"]["dmsrl"] for one in result["ratio_to_dann"])
    assert result["labelling"]["over_argmax"] > 0
