"""What the pages say holds: their Python runs, their commands are taken, their links lead somewhere."""

import re
import shlex

import pytest

import dmsrl_adapt
from benchmarks.cli import parser
from benchmarks.results import read_results
from docs import pictures, reference, step

from .scripts import ROOT

# pages whose Python is one script
SCRIPTS = ("own_models", "pseudo_labels")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/*.md"))]
# hooks that no step of a recipe alone calls, or that leave nothing in the context
NOT_DRAWN = {"CollapseHook", "FixedNetworksHook"}


PART = "dmsrl+my_part.PrototypePull"
OWN_PART_EVERYWHERE = f"""
assert losses["total_loss"]["prototype_pull_loss"] > 0

trained = {{key: value.clone() for key, value in adapter.models["G"].state_dict().items()}}
adapter.training_step(batch)
assert not torch.equal(adapter.models["G"].weight, trained["weight"])
assert checkpoints.resume() == 3
assert torch.equal(adapter.models["G"].weight, trained["weight"])

from docs.step import training_step

assert "PrototypePullHook" in [name for name, _ in training_step(recipe)]

from benchmarks.methods import get_method

added, changed, without = (get_method("{PART}" + end) for end in ("", "[prototype_pull.weight=0.3]", "-prototype_pull"))
assert Recipe.from_settings(added.settings) == Recipe(*DEFAULT, PrototypePull())
assert Recipe.from_settings(changed.settings) == Recipe(*DEFAULT, PrototypePull(weight=0.3))
assert added.space["prototype_pull.weight"] == (0.01, 1.0)
assert without.settings == get_method("dmsrl").settings
"""


def python_of(path):
    """The blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def blocks(path):
    """The Python of a page, one block after the other."""
    return "\n\n".join(python_of(path))


@pytest.mark.parametrize("name", SCRIPTS)
def test_code_of_a_page_runs(name, tmp_path, forks):
    code = blocks(ROOT / "docs" / f"{name}.md")
    assert len(code.splitlines()) > 10
    (tmp_path / "page.py").write_text(code)
    printed = forks.finish("page.py", cwd=tmp_path)
    assert name != "pseudo_labels" or "tensor([" in printed


@pytest.fixture
def own_part(tmp_path):
    """A folder with the part of docs/own_part.md."""
    (tmp_path / "my_part.py").write_text(python_of(ROOT / "docs" / "own_part.md")[0])
    return tmp_path


def test_part_of_ones_own_works_everywhere(own_part, forks):
    code = "\n\n".join(python_of(ROOT / "docs" / "own_part.md")[1:])
    (own_part / "page.py").write_text(code + OWN_PART_EVERYWHERE)
    printed = forks.finish("page.py", cwd=own_part)
    assert printed.count("'prototype_pull_loss'") == 2
    assert printed.endswith("3\n")


def test_part_of_ones_own_is_benchmarked_by_its_name(own_part, forks):
    command = ["run", "--tasks", "embedded", "--methods", f"{PART}[prototype_pull.weight=0.3]", "--seeds", "0"]
    forks.finish("-m", "benchmarks", *command, "--steps", "2", "--jobs", "1", "--out", "out", cwd=own_part)
    (result,) = read_results(own_part / "out")
    assert result["settings"]["prototype_pull.weight"] == 0.3
    assert "prototype_pull_loss" in result["curve"][-1]["losses"]["total_loss"]


@pytest.mark.parametrize("name", ["choosing", "recipe"])
def test_recipe_of_a_page_is_one(name):
    names = {}
    exec(blocks(ROOT / "docs" / f"{name}.md"), names)
    recipes = [value for value in names.values() if isinstance(value, dmsrl_adapt.Recipe)]
    assert dmsrl_adapt.DEFAULT in recipes and len(recipes) > 1


def test_default_and_published_recipe_are_printed_as_they_are():
    names = {}
    exec(blocks(ROOT / "docs" / "recipe.md"), names)
    assert (names["DEFAULT"], names["PUBLISHED"]) == (dmsrl_adapt.DEFAULT, dmsrl_adapt.PUBLISHED)


def commands(path):
    """The commands of the benchmarks that a page shows whole, as lists of arguments."""
    found = re.findall(r"python -m benchmarks ([^`#\n]+)", path.read_text())
    return [shlex.split(one) for one in found if not re.search(r"\||\.\.\.|,\s*$", one)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_page_are_those_that_there_are(path):
    for command in commands(path):
        assert parser().parse_args(command).command == command[0]


def test_pages_show_commands():
    assert len([one for path in PAGES for one in commands(path)]) > 25


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files_that_are_there(path):
    made = {one.page for names in reference.rooms().values() for one in names}
    for linked in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        target = (path.parent / linked).resolve().relative_to(ROOT)
        # a page of the reference is made of its class or function
        assert (ROOT / target).exists() or str(target.relative_to("docs")) in made, linked


def test_anchors_of_links_are_headings():
    for path in PAGES:
        for linked, anchor in re.findall(r"\]\(([^)#:]+)#([^)]+)\)", path.read_text()):
            headings = re.findall(r"^#+ (.*)", (path.parent / linked).read_text(), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_layer_with_a_curve_has_a_picture(tmp_path):
    public = {one.name for names in reference.rooms().values() for one in names}
    assert set(pictures.PICTURES) <= public
    losses = {name for name in public if re.search("Loss$|_loss$|cross_entropy$", name)}
    assert losses <= set(pictures.PICTURES)
    for name in ("CosineMarginLoss", "WarmUp"):
        assert pictures.draw(name, tmp_path / f"{name}.png").stat().st_size > 8000


def test_every_hook_that_runs_in_our_step_is_drawn():
    public = {name for name in dmsrl_adapt.hooks.__all__ if isinstance(getattr(dmsrl_adapt.hooks, name), type)}
    assert public - set(step.running_hooks()) == NOT_DRAWN
