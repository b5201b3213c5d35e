"""What the pages say holds: their Python runs, their commands are taken, their links lead somewhere."""

import re
import shlex

import pytest

import dmsrl_adapt
from benchmarks.cli import parser
from docs import pictures, reference, step

from .scripts import ROOT

# pages whose Python is one script
SCRIPTS = ("own_hook", "own_models", "pseudo_labels")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/*.md"))]
HOOKS_OF_OTHERS = {"CollapseHook", "FixedNetworksHook"}


def blocks(path):
    """The Python of a page, one block after the other."""
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", SCRIPTS)
def test_code_of_a_page_runs(name, tmp_path, forks):
    code = blocks(ROOT / "docs" / f"{name}.md")
    assert len(code.splitlines()) > 10
    (tmp_path / "page.py").write_text(code)
    printed = forks.finish("page.py", cwd=tmp_path)
    assert name != "own_hook" or "'prototype_pull_loss'" in printed
    assert name != "pseudo_labels" or "tensor([" in printed


def test_recipe_of_the_page_on_choosing_is_one():
    names = {}
    exec(blocks(ROOT / "docs" / "choosing.md"), names)
    assert isinstance(names["recipe"], dmsrl_adapt.Recipe)


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
    assert set(dmsrl_adapt.hooks.__all__) - set(step.running_hooks()) == HOOKS_OF_OTHERS
