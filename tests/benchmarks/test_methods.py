"""Methods by name, with settings changed in brackets."""

import re
from pathlib import Path

import pytest

from benchmarks import methods as methods_package
from benchmarks import tasks
from benchmarks.cli import main
from benchmarks.methods import Setup, get_method, methods, split_names
from benchmarks.methods.method import LEARNING_RATE
from benchmarks.results import read_results
from dmsrl_adapt import DEFAULT, PUBLISHED
from dmsrl_adapt.parts import CenterMargin

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


def test_a_method_and_a_task_are_one_short_file_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(# benchmarks/(methods|tasks)/(\w+\.py)\n.*?)```", README.read_text(), re.DOTALL)
    assert [(where, name) for _, where, name in blocks] == [("methods", "entropy.py"), ("tasks", "moons.py")]
    for (code, _, name), package in zip(blocks, (methods_package, tasks), strict=True):
        assert len(code.splitlines()) < 40
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / name).write_text(code)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    command = ["run", "--tasks", "moons", "--methods", "source_only,entropy", "--seeds", "0", "--steps", "60"]
    assert main([*command, "--jobs", "1", "--out", str(tmp_path / "out")]) == 0
    assert main(["data", "check", "moons"]) == 0
    results = {result["method"]: result for result in read_results(tmp_path / "out")}
    assert results.keys() == {"source_only", "entropy"}
    assert results["entropy"]["settings"]["weight"] == 0.1
    assert "entropy_loss" in results["entropy"]["curve"][-1]["losses"]["total_loss"]
    assert all(result["accuracy"]["last"] > 0.6 for result in results.values())


def test_names_are_split_outside_of_brackets():
    names = "dann[reversal=0.1], mcc[weight=1.0,temperature=2.0],dmsrl"
    assert split_names(names) == ["dann[reversal=0.1]", "mcc[weight=1.0,temperature=2.0]", "dmsrl"]


def test_settings_in_brackets_are_changed_and_the_others_stay():
    changed, usual = get_method("mcc[weight=2]"), get_method("mcc")
    assert changed.name == "mcc[weight=2]"
    assert changed.settings == {**usual.settings, "weight": 2}
    assert usual == methods()["mcc"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("local=null", None),
        ("mi=MarginalMI", "MarginalMI"),
        ("mi.entropy_conditioning=false", False),
        ("mi.weight=3", 3),
    ],
)
def test_values_are_written_as_in_json_and_names_without_quotes(text, value):
    key = text.partition("=")[0]
    assert get_method(f"dmsrl[{text}]").settings[key] == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("magic", "there is no method 'magic'; there are .*dmsrl"),
        ("mcc[size=1]", "mcc has no setting 'size'; it has weight, temperature"),
        ("source_only[size=1]", "source_only has no setting 'size'; it has none"),
        ("mcc[weight=heavy]", "weight of mcc must be like .*, got 'heavy'"),
        ("dmsrl[mi.entropy_conditioning=1]", r"mi\.entropy_conditioning of dmsrl.* must be like True, got '1'"),
        ("dmsrl[mi=club]", "mi must be one of ConditionalMI, MarginalMI, TwoBranchMI or None, got 'club'"),
        ("dmsrl-local", "the recipe has no part 'local', it has pseudo_labels, margin"),
        ("mcc-margin", "mcc has no recipe"),
        ("dmsrl+pathlib.Path", "pathlib.Path must be a class of parts"),
        ("dmsrl+nowhere.Part", "there is no part 'nowhere.Part'"),
    ],
)
def test_bad_names_say_what_there_is(name, message):
    with pytest.raises(ValueError, match=message):
        get_method(name)


def test_another_class_of_a_part_has_numbers_of_its_own_but_the_weight():
    settings = get_method("dmsrl[margin=CenterMargin,margin.margin=50.0,mi=null]").settings
    recipe = DEFAULT.replace(CenterMargin(weight=0.2, margin=50.0)).without("mi")
    assert settings == {"local": None, **recipe.settings}


def test_ablations_by_name_are_those_of_the_recipe():
    for kind in DEFAULT.kinds[:-1]:
        method = get_method(f"dmsrl-{kind}")
        assert method.settings == {"local": None, **DEFAULT.ablated(kind).settings}
    assert get_method("dmsrl_published-margin").settings == {"local": "corners", **PUBLISHED.ablated("margin").settings}


def test_mcc_view_is_the_default_without_its_other_parts():
    recipe = DEFAULT.without("pseudo_labels", "margin", "mi")
    assert recipe.kinds == ("mcc", "augmentation", "consistency", "classification")
    assert get_method("mcc_view").settings == {"local": None, **recipe.settings}


@pytest.mark.parametrize("name", ["source_only", "dann", "cdan", "mcd", "mcc", "bnm", "atdoc", "coral"])
def test_every_peer_is_there_with_parts_of_dmsrl_trained_as_the_rest(name):
    setup = Setup((6,), num_classes=3, num_target=20, steps=4)
    method = get_method(f"{name}_dmsrl")
    adapter = method.build(setup, method.settings).adapter
    assert {"margin_metric", "mi_critic"} <= set(adapter.lr_schedulers)
    assert {opt.param_groups[0]["initial_lr"] for opt in adapter.optimizers.values()} == {LEARNING_RATE}
    assert ("mcc" in adapter.hook.recipe.kinds) == (name != "mcc")


@pytest.mark.parametrize("name", ["source_only", "dann", "cdan", "mcd", "mcc", "bnm", "atdoc", "coral", "dmsrl"])
def test_every_method_is_there_with_corner_windows(name):
    setup = Setup((3, 20, 20), num_classes=3, num_target=20, steps=4, network="pooled")
    levels = {
        one: list(method.build(setup, method.settings).adapter.models["G"].level_dims)
        for one, method in ((one, get_method(one)) for one in (name, f"{name}+local"))
    }
    assert levels[name] == ["global"]
    assert levels[f"{name}+local"] == ["global", "top_left", "top_right", "bottom_left", "bottom_right"]


def test_spaces_name_settings_and_hold_the_value_that_is_there_or_a_range_of_numbers():
    for name, method in methods().items():
        assert set(method.space) <= set(method.settings), name
        for key, values in method.space.items():
            if isinstance(values, list):
                assert method.settings[key] in values, (name, key)
            else:
                low, high = values
                assert 0 < low < high, (name, key)


@pytest.mark.parametrize("name", ["gvb", "symnets"])
def test_what_confuses_the_domains_rises_from_nothing(name):
    method = get_method(name)
    trained = method.build(Setup((6,), num_classes=3, num_target=20, steps=4), method.settings)
    (held,) = [cell.cell_contents for cell in trained.on_progress.__closure__ if hasattr(cell.cell_contents, "weights")
               or hasattr(cell.cell_contents, "update_weight")]  # fmt: skip
    strengths = []
    for progress in (0.0, 0.5, 1.0):
        trained.on_progress(progress)
        strengths.append(held.weight.item() if name == "gvb" else held.weights["symnets_entropy_loss"])
    assert strengths == pytest.approx([0.0, 0.98661, 0.99991], rel=1e-4)
