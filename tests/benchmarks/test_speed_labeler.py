"""The times of labelling: every contender gives what it should, and result and picture are written."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import speed_labeler
from benchmarks.cli import main
from benchmarks.speed_labeler import ARGMAX, CENTROID, MEMORY, OURS, PRODUCT, Point, Problem, bytes_a_sample, points

CPU = torch.device("cpu")


def test_points_are_those_of_the_issue_each_once():
    usual = Point()
    assert len(points()) == len(set(points())) == 4 + 3 + 4 - 2
    assert {one.samples for one in points()} == {10**3, 10**4, 10**5, 10**6}
    assert {one.dim for one in points()} == {128, 512, 2048}
    assert {one.prototypes for one in points()} == {10, 100, 1000, 10_000}
    assert (usual.samples, usual.dim, usual.prototypes) == (100_000, 512, 1000)


def test_a_pass_goes_over_all_samples_and_contenders_agree(monkeypatch):
    monkeypatch.setattr(speed_labeler, "BATCH", 16)
    problem = Problem(Point(samples=40, dim=8, prototypes=5), CPU)
    assert [len(rows) for rows, _ in problem.batches()] == [16, 16, 8]
    assert torch.cat([idx for _, idx in problem.batches()]).tolist() == list(range(40))
    passes = problem.passes()
    assert passes.keys() == {OURS, PRODUCT, ARGMAX, CENTROID}
    last = problem.labeler()
    last.threshold = 0.0
    last.relabel(problem.batches())
    labels = last.labels[-8:]
    assert torch.equal(passes[ARGMAX]()[0], labels)
    assert torch.equal(torch.from_numpy(passes[CENTROID]()[0]), labels.long())
    torch.testing.assert_close(passes[PRODUCT]()[0], problem.features[:8] @ problem.prototypes.t())
    assert sum(passes[OURS]()["class_histogram"]) > 0
    for step in problem.steps().values():
        step()


def test_contenders_take_turns():
    calls = []
    actions = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = speed_labeler.in_turn(actions, 3, CPU, repeats=2)
    assert calls == list("aabb") * 3
    assert [len(of_one) for of_one in times.values()] == [3, 3]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux keeps of a process")
def test_memory_of_a_pass_grows_by_sixteen_bytes_a_sample():
    small, large = (speed_labeler.peak_memory(OURS, Point(size, 4, 10)) for size in (2_000_000, 14_000_000))
    assert 8 <= (large - small) / 12_000_000 <= 16.5


def test_growth_is_that_between_the_two_largest_targets():
    measured = [
        {"samples": n, "dim": 512, "prototypes": 1000, "pass_peak_bytes": {OURS: 16 * n, MEMORY: 2088 * n}}
        for n in (10**3, 10**5, 10**6)
    ]
    assert bytes_a_sample(measured) == {OURS: 16.0, MEMORY: 2088.0}
    measured[1]["pass_peak_bytes"] = measured[2]["pass_peak_bytes"] = {OURS: None, MEMORY: None}
    assert bytes_a_sample(measured) is None


def test_result_and_picture_are_written_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed_labeler, "SWEEPS", {"samples": (64, 100_000), "dim": (512, 8), "prototypes": (1000,)})
    usual = Problem.__init__
    small = Point(samples=64, dim=8, prototypes=5)
    monkeypatch.setattr(Problem, "__init__", lambda self, point, device: usual(self, small, device))
    monkeypatch.setattr(speed_labeler, "peak_memory", lambda kind, point: 16 * point.samples)
    monkeypatch.setattr(speed_labeler, "NETWORK", "resnet10t")
    monkeypatch.setattr(speed_labeler, "SIZE", 32)
    assert main(["speed", "labeler", "--rounds", "1", "--out", str(tmp_path)]) == 0
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    result = json.loads((tmp_path / f"speed-labeler-{kind}.json").read_text())
    assert [(one["samples"], one["dim"]) for one in result["points"]] == [(64, 512), (100_000, 512), (100_000, 8)]
    for one in result["points"]:
        assert one["pass_seconds"].keys() == {OURS, PRODUCT, ARGMAX, CENTROID, MEMORY}
        assert one["step_seconds"].keys() == {OURS, ARGMAX, MEMORY}
        assert min(*one["pass_seconds"].values(), *one["step_seconds"].values(), one["pass_over_product"]) > 0
    assert result["training_step"]["seconds"] > 0
    assert (tmp_path / f"speed-labeler-{kind}.png").stat().st_size > 10_000
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:3] == ["samples", "dim", "prototypes"]
    assert printed[5].split()[:2] == ["queries", "references"]
    assert len(printed) == 2 + 3 + 2 + len(result["crossover"])
