"""Draws formulas as SVG when the site is built, so that pages need no script or font for them."""

import html
import re

import ziamath

SIZE = 18  # px, beside text of 16 px
# output of pymdownx.arithmatex for $$ ... $$ and $ ... $
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
INLINE = re.compile(r'<span class="arithmatex">\s*\\\((.*?)\\\)\s*</span>', re.DOTALL)

ziamath.config.svg2 = False  # plain paths; references by id would clash between formulas on a page


def on_page_content(content: str, **_: object) -> str:
    """Returns the HTML of a page with formulas as SVG. MkDocs calls this for every page."""
    content = BLOCK.sub(lambda found: f'<div class="formula">{as_svg(html.unescape(found[1]))}</div>', content)
    return INLINE.sub(lambda found: as_svg(html.unescape(found[1]), inline=True), content)


def as_svg(tex: str, inline: bool = False) -> str:
    """Returns a formula as an SVG element, with its TeX as label for screen readers.

    Raises:
        ValueError: the formula has an unknown command.
    """
    tex = " ".join(tex.split())
    drawn = ziamath.Latex(tex, size=SIZE, color="currentColor", inline=inline)
    if unknown := re.search(r"\\[A-Za-z]+", drawn.mathmlstr()):
        raise ValueError(f"cannot draw {unknown[0]} in the formula {tex}")
    label = f'role="img" aria-label="{html.escape(tex)}"'
    style = f' style="vertical-align: {drawn.getyofst():.2f}px"' if inline else ""
    return drawn.svg().replace("<svg ", f"<svg {label}{style} ", 1)
