"""The region that drives a decision is where the difference is."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.cli import main
from benchmarks.methods import get_method
from benchmarks.regions import regions_of, write_regions
from benchmarks.tasks import Split, Task
from benchmarks.training import Plan, train
from dmsrl_adapt import MultiLevelBackbone

SIZE = 16


class Adapter:
    """As much of an adapter as is asked: G, C and inference."""

    def __init__(self, G: nn.Module, C: nn.Module) -> None:
        self.models = nn.ModuleDict({"G": G, "C": C})

    def inference(self, x: torch.Tensor, domain: torch.Tensor) -> dict[str, torch.Tensor]:
        assert not self.models.training
        features = self.models["G"](x)
        return {"features": features, "logits": self.models["C"](features)}


@pytest.fixture
def task() -> Task:
    """Black images with a bright spot at one of the corners, which is the class."""

    def split(count: int) -> Split:
        labels = torch.arange(count) % 3
        images = torch.randint(40, (count, 3, SIZE, SIZE), dtype=torch.uint8)
        for image, label in zip(images, labels.tolist(), strict=True):
            row, column = ((0, 0), (0, 8), (8, 0))[label]
            image[:, row + 2 : row + 6, column + 2 : column + 6] = 250
        return Split(images, labels)

    return Task("corners", ("a", "b", "c"), split(60), split(30), split(12), split(30))


def place_of(heat: torch.Tensor) -> list[tuple[int, int]]:
    """The half of height and of width in which most of the heat is."""
    quarters = heat.unflatten(2, (2, -1)).unflatten(1, (2, -1)).sum((2, 4)).flatten(1)
    return [divmod(int(one.argmax()), 2) for one in quarters]


@pytest.mark.parametrize("name", ["source_only", "dmsrl+local"])
def test_a_trained_model_looks_at_what_tells_the_classes_apart(name: str, task: Task) -> None:
    adapter = train(task, get_method(name), 0, Plan(steps=40, batch_size=16, scorings=1)).adapter
    split = task.target_test
    regions = regions_of(adapter, split.inputs, 1)
    assert regions.heat.shape == (30, SIZE, SIZE) and regions.probs.shape == (30, 3)
    assert regions.heat.min() >= 0 and regions.heat.amax((1, 2)).allclose(torch.ones(30))
    is_right = regions.probs.argmax(1) == split.known_labels
    assert is_right.float().mean() > 0.9
    there = [((0, 0), (0, 1), (1, 0))[label] for label in split.known_labels]
    agree = [place == truth for place, truth in zip(place_of(regions.heat), there, strict=True)]
    assert sum(agree) >= 24
    assert adapter.models["G"].training


def test_with_an_average_pool_it_is_grad_cam() -> None:
    trunk = nn.Conv2d(3, 5, 3)
    G = MultiLevelBackbone(trunk, local=None, input_size=10)
    C = nn.Linear(5, 4)
    images = torch.randint(256, (6, 3, 10, 10), dtype=torch.uint8)
    maps = trunk(images.float() / 127.5 - 1)
    rows = C.weight[C(maps.mean((2, 3))).argmax(1)]
    expected = (rows[:, :, None, None] * maps).sum(1).clamp(min=0)
    expected = nn.functional.interpolate(expected[:, None], (10, 10), mode="bilinear")[:, 0]
    regions = regions_of(Adapter(G, C), images, 0)
    highest = expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(regions.heat, (expected / highest.clamp(min=1e-9)).detach(), rtol=1e-3, atol=1e-4)


def test_windows_and_places_of_a_flattened_map_count_for_themselves() -> None:
    G = MultiLevelBackbone(nn.Identity(), in_chans=1, local=None, global_pool="flatten", input_size=4)
    C = nn.Linear(16, 2, bias=False)
    nn.init.zeros_(C.weight)
    C.weight.data[0, 5] = 1.0  # row 1, column 1 of the map
    G.trunk.weight = nn.Parameter(torch.zeros(1))  # something to know the device by
    adapter = Adapter(nn.Sequential(G), C)
    adapter.models["G"] = G
    images = torch.full((1, 1, 4, 4), 255, dtype=torch.uint8)
    G.trunk.forward = lambda x: x + 0 * G.trunk.weight
    heat = regions_of(adapter, images, 0).heat[0]
    assert heat[1, 1] == 1 and heat.sum() == 1


def test_the_picture_has_a_row_a_domain_and_moment_and_is_written(task: Task, tmp_path: Path) -> None:
    path = write_regions(task, ("mcd", "dmsrl+local"), 0, Plan(steps=2, batch_size=8), tmp_path / "new/a.png")
    width, height = Image.open(path).size
    assert width > 400 and height > 600


def test_a_domain_without_a_class_and_a_model_that_sees_nothing_are_drawn(task: Task, tmp_path: Path) -> None:
    kept = task.target_test.known_labels != 1
    lacking = replace(task, target_test=task.target_test.take(kept))
    assert write_regions(lacking, ("source_only", "dann"), 0, Plan(steps=1, batch_size=8), tmp_path / "a.png").is_file()
    G, C = MultiLevelBackbone(nn.Conv2d(3, 2, 1), local=None, input_size=8), nn.Linear(2, 2)
    nn.init.zeros_(C.weight)
    assert regions_of(Adapter(G, C), torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 0).heat.eq(0).all()


def test_feature_vectors_have_no_regions() -> None:
    adapter = SimpleNamespace(models={"G": nn.Linear(3, 2)})
    with pytest.raises(ValueError, match=r"regions need images and a MultiLevelBackbone, got \(2, 3\) and Linear"):
        regions_of(adapter, torch.zeros(2, 3), 0)


def test_the_command_draws_a_task_and_wants_two_methods(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    monkeypatch.setattr("benchmarks.commands.regions.load_task", lambda name, place: task)
    arguments = ["regions", "corners", "--steps", "1", "--out", str(tmp_path / "b.png")]
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "b.png")
    for methods in ("dmsrl", "dmsrl,dann,mcd"):
        assert main([*arguments, "--methods", methods]) == 2
        assert "--methods must be two, before and after" in capsys.readouterr().err
