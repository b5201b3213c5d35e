"""Formulas of the site as pictures made at build, so that a page needs neither a script nor a font to show them."""

import html
import re

import ziamath

SIZE = 18  # px, beside text of 16 px
# what pymdownx.arithmatex makes of $$ ... $$ and of $ ... $
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
INLINE = re.compile(r'<span class="arithmatex">\s*\\\((.*?)\\\)\s*</span>', re.DOTALL)

ziamath.config.svg2 = False  # paths in place of references by id, which two formulas of a page would share


def on_page_content(content: str, **_: object) -> str:
    """Returns the HTML of a page with its formulas drawn. MkDocs calls this for every page."""
    content = BLOCK.sub(lambda found: f'<div class="formula">{as_svg(html.unescape(found[1]))}</div>', content)
    return INLINE.sub(lambda found: as_svg(html.unescape(found[1]), inline=True), content)


def as_svg(tex: str, inline: bool = False) -> str:
    """Returns the picture of a formula as an SVG element, which says the formula to screen readers.

    Raises:
        ValueError: the formula has a command that is not known.
    """
    tex = " ".join(tex.split())
    drawn = ziamath.Latex(tex, size=SIZE, color="currentColor", inline=inline)
    if unknown := re.search(r"\\[A-Za-z]+", drawn.mathmlstr()):
        raise ValueError(f"cannot draw {unknown[0]} in the formula {tex}")
    told = f'role="img" aria-label="{html.escape(tex)}"'
    style = f' style="vertical-align: {drawn.getyofst():.2f}px"' if inline else ""
    return drawn.svg().replace("<svg ", f"<svg {told}{style} ", 1)
