"""Basic SVG shapes; docs/assets/site.css sets their colours and fonts."""

import html
from dataclasses import dataclass, field

ROW, PILL = 22, 20  # px: distance between arrows, height of the name of a module
CHARACTER, BOLD = 7.3, 8.2  # px: largest width of a character in names of keys and of hooks
HEAD = 7


@dataclass
class Drawing:
    """Shapes in the order in which they are drawn."""

    shapes: list[str] = field(default_factory=list)

    def line(self, points: list[tuple[float, float]], look: str, head: bool = False) -> None:
        """Draws a line through points, optionally with an arrowhead at its end."""
        path = " L ".join(f"{x:g} {y:g}" for x, y in points)
        self.shapes.append(f'<path class="{look}" d="M {path}"/>')
        if head:
            (before, _), (x, y) = points[-2:]  # only horizontal arrows have heads
            back = x - HEAD if x > before else x + HEAD
            self.shapes.append(f'<path class="head {look}" d="M {x:g} {y:g} L {back:g} {y - 4:g} V {y + 4:g} Z"/>')

    def dot(self, x: float, y: float, look: str) -> None:
        """Draws a dot, for a branch of a line."""
        self.shapes.append(f'<circle class="head {look}" cx="{x:g}" cy="{y:g}" r="3"/>')

    def text(self, x: float, y: float, text: str, look: str, link: str = "") -> None:
        """Writes a line of text centred vertically at y, optionally as a link."""
        shape = f'<text class="{look}" x="{x:g}" y="{y:g}" dy="0.35em">{html.escape(text)}</text>'
        self.shapes.append(f'<a href="{html.escape(link)}">{shape}</a>' if link else shape)

    def label(self, x: float, y: float, text: str, look: str) -> None:
        """Writes a line of text that starts at x, on a background that hides the line below it."""
        width = len(text) * CHARACTER + 8
        self.shapes.append(f'<rect class="paper" x="{x - 4:g}" y="{y - 8:g}" width="{width:g}" height="16"/>')
        self.text(x, y, text, f"key start {look}")

    def box(self, x: float, y: float, size: tuple[float, float], look: str) -> None:
        """Draws a box with rounded corners."""
        width, height = size
        self.shapes.append(f'<rect class="{look}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>')

    def svg(self, width: float, height: float, description: str) -> str:
        """Returns the picture as an HTML element; `description` is for screen readers."""
        size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        opened = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(description)}" {size}>'
        return f'<div class="chart">{opened}{"".join(self.shapes)}</svg></div>'


def look_of(key: str) -> str:
    """Returns the CSS class of a key, by its domain."""
    return "source" if key.startswith("src_") else "target" if key.startswith("target_") else "neither"


@dataclass(frozen=True)
class HookBox:
    """Box of a hook: its name, the modules that it uses, and those whose buffers it updates."""

    name: str
    modules: list[str]
    updated: list[str]
    link: str = ""

    @property
    def width(self) -> float:
        """Width that its texts need."""
        return 24 + max(len(self.name) * BOLD, *(len(one) * CHARACTER + 12 for one in self.modules), 100)

    @property
    def height(self) -> float:
        """Height that its texts need."""
        return 34 + len(self.modules) * PILL

    def draw(self, drawing: Drawing, at: tuple[float, float], size: tuple[float, float]) -> None:
        """Draws the box, with the name and the modules centred one below the other."""
        drawing.box(*at, size, "hook")
        x, top = at[0] + size[0] / 2, at[1] + (size[1] - self.height) / 2 + 17
        drawing.text(x, top, self.name, "name", self.link)
        for place, module in enumerate(self.modules):
            width, y = len(module) * CHARACTER + 12, top + 12 + place * PILL
            look = "module updated" if module in self.updated else "module"
            drawing.box(x - width / 2, y, (width, PILL - 4), look)
            drawing.text(x, y + (PILL - 4) / 2, module, "key middle")
