"""How the pages of the site are made: their order, the reference, formulas and tables."""

import re
import sys
from types import ModuleType

import pytest

from docs import formulas, navigation, reference, tables


def test_every_page_is_in_the_navigation_once_and_no_two_of_a_group_have_one_title():
    made = {"step.md": "# One training step\n", "reference/index.md": "# All names\n"}
    text = navigation.summary(made, [("Hooks", [("AHook", "reference/hooks/AHook.md")])])
    pages = re.findall(r"\]\((.*)\)", text)
    assert sorted(pages) == sorted([*navigation.WRITTEN.values(), *made, "reference/hooks/AHook.md"])
    assert re.findall(r"^- (.*)", text, re.MULTILINE) == ["Start", "Guides", "Results", "Reference"]
    titles = re.findall(r"\[(.*)\]", text)
    assert len(set(titles)) == len(titles)


def test_a_page_that_no_group_names_is_a_guide(monkeypatch):
    monkeypatch.setitem(navigation.WRITTEN, "docs/new.md", "new.md")
    assert "new.md" in navigation.groups()["Guides"]
    assert not any("new.md" in pages for group, pages in navigation.groups().items() if group != "Guides")


def fake_module(monkeypatch, name, **values):
    module = ModuleType(name)
    vars(module).update(values, __all__=list(values))
    monkeypatch.setitem(sys.modules, name, module)


def test_a_room_is_a_line_and_what_is_in_it_is_nowhere_else(monkeypatch):
    class Loss:
        """Mean of | x |. More of it."""

    def a_loss():
        """Returns the loss
        of a batch.

        More of it.
        """

    Loss.__module__ = a_loss.__module__ = "house.room"
    fake_module(monkeypatch, "house", Loss=Loss, DEFAULT=3, __version__="1")
    fake_module(monkeypatch, "house.room", a_loss=a_loss, Loss=Loss)
    monkeypatch.setattr(reference, "ROOMS", (("The whole", "house"), ("Losses", "house.room")))
    found = reference.rooms.__wrapped__()
    assert {title: [one.name for one in names] for title, names in found.items()} == {
        "The whole": ["DEFAULT"],
        "Losses": ["Loss", "a_loss"],  # classes first
    }
    loss, function = found["Losses"]
    assert (loss.page, loss.path, loss.about) == ("reference/room/Loss.md", "house.room.Loss", r"Mean of \| x \|")
    assert function.about == "Returns the loss of a batch"
    assert found["The whole"][0].path == "house.DEFAULT"


def test_every_public_name_has_a_page_of_its_own():
    names = [one for of_room in reference.rooms().values() for one in of_room]
    for _, module in reference.ROOMS:
        shown = {name for name in sys.modules[module].__all__ if not name.startswith("__")}
        assert shown <= {one.name for one in names}
    assert len({one.page for one in names}) == len({one.value for one in names}) == len(names)
    assert all(f"({one.page.removeprefix('reference/')})" in reference.index() for one in names)


def test_formulas_of_a_page_are_drawn():
    block = '<p>a</p><div class="arithmatex">\\[ \\sum_{i&lt;j}\n x_i \\]</div>'
    drawn = formulas.on_page_content(block)
    assert re.match(r'<p>a</p><div class="formula"><svg role="img" aria-label="\\sum_\{i&lt;j\} x_i" ', drawn)
    assert drawn.count("<path") == 6 and "arithmatex" not in drawn  # a path a sign
    inline = formulas.on_page_content('is <span class="arithmatex">\\(x_i\\)</span>')
    assert inline.startswith("is <svg ") and "vertical-align: -" in inline


@pytest.mark.parametrize("tex", [r"\fraq{1}{2}", r"x_{\some}"])
def test_a_command_that_is_not_known_fails_the_build(tex):
    with pytest.raises(ValueError, match="cannot draw"):
        formulas.as_svg(tex)


def test_short_cells_stay_on_one_line():
    long = "a sentence that is longer than most"
    page = f'<tr><td>91.0 ± 0.1</td><td>{long}</td><td style="text-align: right;"><code>{"a" * 26}</code></td></tr>'
    marked = tables.on_page_content(page)
    assert '<td class="short">91.0' in marked and f"<td>{long}</td>" in marked
    assert '<td class="short" style="text-align: right;"><code>aa' in marked
