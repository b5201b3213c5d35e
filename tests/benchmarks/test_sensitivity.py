"""The default recipe with its numbers halved and doubled."""

import pytest

from benchmarks.methods import get_method
from benchmarks.sensitivity import change, methods, moves, sensitivity_rows

SETTINGS = {"margin.scale": 8.0, "mi.weight": 0.3, "a.strength": 1.0, "b.strength": 1.0, "mi": "ConditionalMI"}
CHANGES = {("margin.scale", 0.5): "dmsrl[margin.scale=4]", ("margin.scale", 2.0): "dmsrl[margin.scale=16]"}
CHANGES |= {("mi.weight", 0.5): "dmsrl[mi.weight=0.15]", ("mi.weight", 2.0): "dmsrl[mi.weight=0.6]"}
TASKS = {"a": 0.5, "b": 0.7}


def result(task, method, seed, score):
    run = {"task": task, "method": method, "seed": seed, "metric": "accuracy", "accuracy": {"last": score}}
    return {**run, "settings": SETTINGS}


@pytest.fixture
def results():
    """The default at 50 and 70 %; each change 1 point above on task a, on b 3 below, margin.scale x 2 on b 9 below."""
    runs = []
    for task, score in TASKS.items():
        for seed in (0, 1):
            runs.append(result(task, "dmsrl", seed, score + 0.1 * seed))
            for key, name in CHANGES.items():
                moved = 0.01 if task == "a" else -0.09 if key == ("margin.scale", 2.0) else -0.03
                runs.append(result(task, name, seed, score + 0.1 * seed + moved))
    return runs


def test_every_number_of_the_recipe_is_halved_and_doubled_alone():
    usual = get_method("dmsrl").settings
    numbers = [key for key, value in usual.items() if isinstance(value, float) and value != 0]
    first, *names = methods()
    assert first == "dmsrl" and len(numbers) > 8
    for key, factor, name in zip([k for k in numbers for _ in "ab"], [0.5, 2.0] * len(numbers), names, strict=True):
        text = name.removeprefix(f"dmsrl[{key}=").removesuffix("]")
        assert float(text) == pytest.approx(usual[key] * factor)
        assert change(name, usual) == (key, factor)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dmsrl[a.strength=0.5,b.strength=0.5]", ("a.strength, b.strength", 0.5)),
        ("dmsrl[a.strength=0.5,b.strength=2]", None),
        ("dmsrl[mi.weight=0.9]", None),
        ("dmsrl[mi=TwoBranchMI,mi.weight=0.6]", None),
        ("dmsrl[unknown=2]", None),
        ("dmsrl", None),
        ("mcc[mi.weight=0.6]", None),
    ],
)
def test_a_change_is_one_number_times_a_factor(name, told):
    assert change(name, SETTINGS) == told


def test_moves_are_means_over_seeds_of_differences_by_task(results):
    moved = moves(results)
    assert moved["mi.weight"][0.5] == pytest.approx([1, -3])
    assert moved["margin.scale"][2.0] == pytest.approx([1, -9])


def test_seeds_that_only_one_has_do_not_count(results):
    results.append(result("a", "dmsrl", 7, 1.0))
    assert moves(results)["mi.weight"][0.5] == pytest.approx([1, -3])


def test_a_change_that_was_not_run_is_named(results):
    left = [run for run in results if (run["task"], run["method"]) != ("b", "dmsrl[mi.weight=0.6]")]
    with pytest.raises(ValueError, match=r"dmsrl\[mi.weight=0.6\] and dmsrl have no seed in common on b"):
        moves(left)


def test_table_tells_mean_and_most(results):
    table = {row[0]: row[1:] for row in sensitivity_rows(results)}
    assert table["setting"] == ["default", "x 0.5, mean", "x 0.5, most", "x 2, mean", "x 2, most"]
    assert table["margin.scale"] == ["8", "-1.0", "-3.0", "-4.0", "-9.0"]
    assert sensitivity_rows([run for run in results if run["method"] == "dmsrl"]) == []
