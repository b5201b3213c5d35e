"""Runs: every method trains, results say what they must, what is done stays done, failures stay alone."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import grid, provenance
from benchmarks.cli import main
from benchmarks.methods import get_method, methods
from benchmarks.report import notes, write_report
from benchmarks.results import is_done, make_result, read_results, write_result
from benchmarks.tables import task_rows
from benchmarks.tasks import DataPlace, Task, load_task
from benchmarks.training import Plan, batches, train

from ..scripts import Forks

FIELDS = {"task", "method", "seed", "metric", "score_on", "accuracy", "balanced_accuracy", "per_class_accuracy"}
FIELDS |= {"confusion", "classes", "selector", "seconds_per_step", "steps", "settings", "versions", "commit", "curve"}
FIELDS |= {"selected_by", "peak_memory"}
PLAN = Plan(steps=6, batch_size=16, scorings=2)


@pytest.fixture(scope="module")
def task() -> Task:
    whole = load_task("embedded", DataPlace())
    parts = ("source", "target_train", "target_validation", "target_test")
    return replace(whole, **{part: getattr(whole, part).take(torch.arange(80)) for part in parts})


@pytest.mark.parametrize("name", methods())
def test_every_method_trains_on_images_and_on_feature_vectors(name: str, task: Task, vectors: Task) -> None:
    for one in (task, vectors):
        method = get_method(name)
        outcome = train(one, method, seed=0, plan=PLAN)
        result = json.loads(json.dumps(make_result(one, method, 0, PLAN, outcome)))
        assert result.keys() == FIELDS
        assert [point["step"] for point in result["curve"]] == [3, 6]
        for metric in ("accuracy", "balanced_accuracy"):
            assert result[metric].keys() == {"last", "selected", "oracle"}
            assert all(0 <= value <= 1 for value in result[metric].values())
        assert result["accuracy"]["oracle"] >= result["accuracy"]["last"] == result["curve"][-1]["accuracy"]
        assert result["accuracy"]["last"] == pytest.approx(np.trace(result["confusion"]) / len(one.target_test))
        assert np.isfinite(next(iter(outcome.curve[-1]["losses"].values()))["total"])


def test_the_same_seed_gives_the_same_result_and_another_seed_another(vectors: Task) -> None:
    first, again, other = (train(vectors, get_method("dmsrl"), seed, PLAN) for seed in (0, 0, 1))
    assert first.curve == again.curve
    assert first.curve != other.curve


def test_the_ceiling_trains_on_target_labels_and_no_other_method_sees_them(task: Task) -> None:
    ceiling = next(batches(task, 16, is_supervised=True, seed=0))
    assert torch.equal(ceiling["src_labels"], task.target_train.labels[ceiling["src_sample_idx"]])
    usual = next(batches(task, 16, is_supervised=False, seed=0))
    assert torch.equal(usual["src_labels"], task.source.labels[usual["src_sample_idx"]])
    assert not any("target" in key and "label" in key for key in usual)
    assert [name for name, method in methods().items() if method.is_supervised] == ["target_supervised"]


def test_all_methods_share_network_optimizer_and_schedule(vectors: Task) -> None:
    from benchmarks.methods import Setup

    setup = Setup((6,), 3, 60, steps=10)
    for name, method in methods().items():
        adapter = method.build(setup, method.settings).adapter
        group = adapter.optimizers["G"].param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (1e-3, 5e-4), name
        assert sum(p.numel() for p in adapter.models["G"].parameters()) == 6 * 256 + 3 * 256, name
        assert "G" in adapter.lr_schedulers


def test_peers_once_more_have_the_source_as_our_default_recipe_has_it() -> None:
    for name, method in methods().items():
        if name.endswith("_augmented"):
            peer, own = get_method(name.removesuffix("_augmented")), get_method("dmsrl")
            added = {key: value for key, value in own.settings.items() if key.startswith("augmentation")}
            assert method.settings == {**peer.settings, **added}


def test_a_part_taken_out_takes_no_random_numbers_from_the_others(vectors: Task) -> None:
    """The critic, which draws some, moves no feature vectors, so that without it all must end the same."""
    whole, without = (train(vectors, get_method(name), 0, PLAN).predictions for name in ("dmsrl", "dmsrl-mi"))
    assert (whole == without).all()
    assert [get_method(f"dmsrl-{part}").settings[f"{part}.weight"] for part in ("margin", "mi")] == [0, 0]


def test_changed_settings_of_a_recipe_are_those_it_trains_with() -> None:
    from benchmarks.methods import Setup

    method = get_method("dmsrl[margin=CenterMargin,mi=null,classification.label_smoothing=0.3]")
    adapter = method.build(Setup((6,), 3, 60, steps=10), method.settings).adapter
    assert adapter.models.keys() == {"G", "C", "margin_metric"}
    assert "centers" in adapter.models["margin_metric"].state_dict()
    assert adapter.hook.recipe.settings["classification.label_smoothing"] == 0.3


def test_branch_and_estimator_keep_the_optimizers_that_the_adapter_gives_them() -> None:
    from benchmarks.methods import Setup

    method = get_method("dmsrl[mi=TwoBranchMI,mi.weight=0.1]")
    adapter = method.build(Setup((6,), 3, 60, steps=10), method.settings).adapter
    rates = {name: opt.param_groups[0]["lr"] for name, opt in adapter.optimizers.items()}
    assert rates == pytest.approx(
        {"G": 1e-3, "C": 1e-3, "margin_metric": 1e-3, "mi_branch": 4e-3, "mi_estimator": 4e-3}
    )
    assert adapter.lr_schedulers.keys() == {"G", "C", "margin_metric"}
    assert adapter.hook.recipe.settings["mi.weight"] == 0.1


def test_dann_reverses_by_the_published_schedule(vectors: Task) -> None:
    from benchmarks.methods import Setup

    method = get_method("dann")
    trained = method.build(Setup((6,), 3, 60, steps=10), {**method.settings, "reversal": 0.3})
    reversal = trained.on_progress.__closure__[0].cell_contents
    for progress, wanted in ((0.0, 0.0), (0.5, 0.3 * 0.98661), (1.0, 0.3 * 0.99991)):
        trained.on_progress(progress)
        assert reversal.fn.weight.item() == pytest.approx(wanted, rel=1e-4)


def test_a_finished_run_is_kept_and_a_changed_one_is_done_again(vectors: Task, tmp_path: Path) -> None:
    method = get_method("mcc")
    write_result(tmp_path, make_result(vectors, method, 0, PLAN, train(vectors, method, 0, PLAN)))
    assert is_done(tmp_path, "vectors", method, 0, PLAN)
    assert not is_done(tmp_path, "vectors", method, 1, PLAN)
    assert not is_done(tmp_path, "vectors", method, 0, replace(PLAN, steps=7))
    changed = replace(method, settings={**method.settings, "weight": 1.0})
    assert not is_done(tmp_path, "vectors", changed, 0, PLAN)
    (tmp_path / "vectors__mcc__seed0.json").write_text("{ torn")
    assert not is_done(tmp_path, "vectors", method, 0, PLAN)
    with pytest.raises(ValueError, match=r"vectors__mcc__seed0\.json is damaged"):
        read_results(tmp_path)


def test_the_command_line_trains_reports_and_skips_what_is_done(
    feature_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["run", "--source", str(feature_npz), "--target", str(feature_npz), "--out", str(out), "--jobs", "1"]
    command += ["--methods", "source_only,dann,dmsrl", "--seeds", "0,1", "--steps", "4"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "step / DANN's" in printed.out and "dmsrl" in printed.out
    assert "6/6 runs" in printed.err
    # the bar names what trains and the time left, above it stands what is done
    assert re.search(r"\rsource_only seed 0 \|[^\r]*\| 0/6 runs, \d\d:\d\d gone, \S+ left", printed.err)
    done = re.findall(r"vectors-vectors-\w{8} (\w+) seed (\d): \d+\.\d %", printed.err)
    assert done == [(name, seed) for name in ("source_only", "dann", "dmsrl") for seed in "01"]
    report = (out / "report.md").read_text()
    pictures = [line.split("(")[1][:-1] for line in report.splitlines() if line.startswith("![")]
    assert len(pictures) == 7
    assert all((out / picture).stat().st_size > 5000 for picture in pictures)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.json")} == before


@pytest.mark.parametrize(
    ("jobs", "left", "wanted"),
    [
        (1, 3, "mcc seed 0"),
        (2, 3, "mcc seed 0, mcc seed 1"),
        (4, 3, "mcc seed 0, mcc seed 1, 1 more"),
        (4, 9, "mcc seed 0, mcc seed 1, 2 more"),
        (2, 1, "mcc seed 0"),
        (2, 0, "done"),
    ],
)
def test_the_bar_names_two_runs_and_counts_the_others(jobs: int, left: int, wanted: str) -> None:
    assert grid.in_training([grid.Run("embedded", "mcc", seed) for seed in range(left)], jobs) == wanted


def test_a_failing_run_stops_no_other_and_is_named(
    feature_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = grid.get_method

    def broken(name: str) -> object:
        if name == "mcc":
            raise RuntimeError("the floor gave way")
        return usual(name)

    monkeypatch.setattr(grid, "get_method", broken)
    out = tmp_path / "out"
    command = ["run", "--source", str(feature_npz), "--target", str(feature_npz), "--out", str(out), "--jobs", "1"]
    assert main([*command, "--methods", "mcc,source_only", "--seeds", "0", "--steps", "2"]) == 1
    failed = r"failed: vectors-vectors-\w{8} mcc seed 0: RuntimeError: the floor gave way"
    assert re.search(failed, capsys.readouterr().err)
    assert [result["method"] for result in read_results(out)] == ["source_only"]


def test_own_data_that_has_changed_is_trained_on_anew(feature_npz: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out", tmp_path / "data"
    arrays = dict(np.load(feature_npz))
    data.mkdir()
    for name in ("lab", "field"):
        np.savez(data / f"{name}.npz", X=arrays["X"], y=arrays["y"])

    def settings(*more: str) -> dict[str, object]:
        command = ["run", "--source", str(data / "lab.npz"), "--target", str(data / "field.npz"), *more]
        command += ["--out", str(out), "--jobs", "1", "--methods", "source_only", "--seeds", "0", "--steps", "2"]
        assert main(command) == 0
        (result,) = read_results(out)
        assert result["task"].startswith("lab-field-")
        return dict(result["settings"])

    first = settings()
    written = next(out.glob("*.json")).stat().st_mtime_ns
    assert settings() == first and next(out.glob("*.json")).stat().st_mtime_ns == written
    assert settings("--size", "16") != first
    np.savez(data / "field.npz", X=arrays["X"], y=1 - arrays["y"])
    assert settings() != first


def test_results_on_data_of_the_same_base_names_lie_side_by_side(feature_npz: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(feature_npz))
    for shift, folder in enumerate(("amazon", "dslr", "webcam")):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "images.npz", X=arrays["X"] + shift, y=arrays["y"])
    for folder in ("amazon", "dslr"):
        command = ["run", "--source", str(tmp_path / folder / "images.npz"), "--out", str(tmp_path / "out")]
        command += ["--target", str(tmp_path / "webcam" / "images.npz"), "--jobs", "1", "--seeds", "0", "--steps", "2"]
        assert main([*command, "--methods", "source_only"]) == 0
    tasks = [result["task"].rpartition("-")[0] for result in read_results(tmp_path / "out")]
    assert tasks == ["amazon_images-webcam_images", "dslr_images-webcam_images"]


def test_a_commit_made_while_a_run_trains_is_not_named(
    feature_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = iter(["before", "after"])
    provenance.commit.cache_clear()
    monkeypatch.setattr(provenance, "git", lambda *_: SimpleNamespace(stdout=next(head), returncode=0))
    seen = []
    monkeypatch.setattr(
        grid, "train", lambda *given, **named: (seen.append(provenance.commit()), train(*given, **named))[1]
    )
    out = tmp_path / "out"
    command = ["run", "--source", str(feature_npz), "--target", str(feature_npz), "--out", str(out), "--jobs", "1"]
    assert main([*command, "--methods", "source_only", "--seeds", "0,1", "--steps", "2"]) == 0
    provenance.commit.cache_clear()
    assert seen == ["before"] * 2
    assert [result["commit"] for result in read_results(out)] == ["before"] * 2


def test_one_missing_file_is_one_line_however_many_runs_need_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DMSRL_ADAPT_DATA", raising=False)
    command = ["run", "--tasks", "mnist-usps", "--methods", "mcc,dann", "--jobs", "1", "--out", str(tmp_path)]
    assert main(command) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("failed", "Traceback"))]
    (line,) = lines
    assert line.startswith("failed: mnist-usps mcc seed 0, 1, 2; dann seed 0, 1, 2: mnist_train.npz is needed")


def test_a_report_stands_runs_of_other_lengths_and_one_that_diverged(vectors: Task, tmp_path: Path) -> None:
    named = replace(vectors, name="my photos")
    method = get_method("source_only")
    for seed, steps in ((0, 6), (1, 2)):
        plan = replace(PLAN, steps=steps, scorings=steps)
        outcome = train(named, method, seed, plan)
        outcome.embedding["target_features"][:] = np.nan
        write_result(tmp_path, make_result(named, method, seed, plan, outcome), outcome.embedding)
    report = write_report(tmp_path).read_text()
    assert "differ in steps and scorings: do not compare them" in report
    assert "](figures/my%20photos-bars.png)" in report
    assert "embedding" not in report
    assert sorted(path.name for path in tmp_path.glob("*.part*")) == []


def test_a_target_without_labels_is_trained_and_not_scored(feature_npz: Path, tmp_path: Path) -> None:
    blind, out = tmp_path / "blind.npz", tmp_path / "out"
    np.savez(blind, X=np.load(feature_npz)["X"])
    command = ["run", "--source", str(feature_npz), "--target", str(blind), "--out", str(out), "--jobs", "1"]
    assert main([*command, "--methods", "dmsrl", "--seeds", "0", "--steps", "2"]) == 0
    (result,) = read_results(out)
    assert result["accuracy"] == {"last": None, "selected": None, "oracle": None}
    assert result["confusion"] is None
    assert np.isfinite(result["curve"][-1]["selector"])
    assert task_rows({"dmsrl": [result]})[1][1] == "-"


def test_images_without_labels_are_trained_on_and_reported(
    class_folders: Path, flat_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["run", "--source", str(class_folders), "--target", str(flat_folder), "--out", str(out), "--jobs", "1"]
    command += ["--seeds", "0", "--steps", "2", "--size", "12"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert f"note: {flat_folder} has no labels; left out, since they need them: target_supervised" in printed.err
    assert f"note: {class_folders}: 1 file is left out" in printed.err
    assert f"{flat_folder}: " not in printed.err
    assert re.search(r"photos-field-\w{8} dmsrl seed 0: done", printed.err)
    rows = {name: scores for name, *scores in map(str.split, filter(None, printed.out.splitlines()))}
    assert {tuple(rows[name][:4]) for name in ("source_only", "dann", "mcc", "dmsrl")} == {("-",) * 4}
    assert "target_supervised" not in rows
    assert "photos-field" in (out / "report.md").read_text()
    assert main([*command, "--methods", "target_supervised,mcc"]) == 1
    errors = capsys.readouterr().err
    assert "mcc seed 0: kept" in errors
    assert errors.strip().endswith("target_supervised seed 0: this method needs labels that the data does not have")
    # once the scored part has labels there is something to show
    assert main([*command, "--target-test", str(class_folders), "--methods", "mcc", "--steps", "3"]) == 0
    assert re.search(r"photos-field-\w{8} mcc seed 0: \d+\.\d %", capsys.readouterr().err)


def test_a_source_without_labels_is_one_line(
    class_folders: Path, flat_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--source", str(flat_folder), "--target", str(class_folders), "--out", str(tmp_path / "out")]
    assert main([*command, "--jobs", "1", "--methods", "mcc", "--seeds", "0,1"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    told = r"failed: field-photos-\w{8} mcc seed 0, 1: the source .*must have labels: class folders"
    assert re.match(told, line)


def test_results_in_folders_below_are_of_other_runs(vectors: Task, tmp_path: Path) -> None:
    method = get_method("source_only")
    result = make_result(vectors, method, 0, PLAN, train(vectors, method, 0, PLAN))
    write_result(tmp_path, result)
    write_result(tmp_path / "earlier", result)
    assert len(read_results(tmp_path)) == 1


def test_notes_warn_of_all_that_makes_runs_of_a_table_unlike() -> None:
    def run(steps: int = 6, **settings: object) -> dict[str, object]:
        shared = {"network": "small", "batch_size": 16, "scorings": 2, **settings}
        return {"steps": steps, "score_on": "test", "commit": "abc", "settings": shared}

    assert "differ" not in notes({"mcc": [run(weight=1), run(weight=1)], "dann": [run(reversal=1)]})
    assert "differ in network:" in notes({"mcc": [run()], "dann": [run(network="resnet18")]})
    assert "differ in batch size and scorings:" in notes({"mcc": [run()], "dann": [run(batch_size=8, scorings=4)]})
    assert "differ in data:" in notes({"mcc": [run(data={"source": "a"}), run(data={"source": "b"})]})
    unlike = {"mcc": [run(weight=1), run(weight=2)], "dann": [run(steps=7, reversal=1)]}
    assert "**These runs differ in steps and weight of mcc: do not compare them.**" in notes(unlike)
    assert "differ in weight of mcc:" in notes({"mcc": [run(), run(weight=2)]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "magic"], "no method 'magic'"),
        (["--tasks", "magic"], "unknown tasks ['magic']"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--source", "here"], "--source and --target must be given together"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_command_that_installs_it(forks: Forks, tmp_path: Path) -> None:
    without = "import runpy, sys; sys.modules['matplotlib'] = None; runpy.run_module('benchmarks', run_name='__main__')"
    (tmp_path / "without.py").write_text(without)
    with pytest.raises(AssertionError, match=r"^exit status 1 of .*without\.py") as caught:
        forks.finish("without.py", cwd=tmp_path)
    wanted = "error: matplotlib is missing; install what the benchmarks need: python -m pip install '.[bench]'"
    assert str(caught.value).splitlines()[1:] == ["", wanted]
