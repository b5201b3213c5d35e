"""Draws one hook as SVG: the modules that it uses, the keys that it reads and writes, and its losses."""

from docs.drawing import CHARACTER, ROW, Drawing, HookBox, look_of
from docs.step import Call, arrows, modules
from docs.step_chart import draw_arrow, spread

END, EDGE = 76, 8


def draw_hook(name: str, call: Call) -> str:
    """Returns the chart of a hook."""
    taken = [arrow.key for arrow in arrows([(name, call)])]
    left = [*call.written, *call.losses]
    box = HookBox(name, modules([(name, call)])[0], call.updated)
    height = max(ROW * max(len(taken), len(left)) + 14, box.height)
    drawing, middle, x = Drawing(), EDGE + height / 2, float(EDGE)
    if taken:
        draw_end(drawing, x, height, "before")
        x += END + length(taken)
    for key, y in zip(taken, spread(middle, len(taken)), strict=True):
        draw_arrow(drawing, [(EDGE + END, y), (x, y)], key)
    box.draw(drawing, (x, EDGE), (box.width, height))
    x += box.width
    for key, y in zip(left, spread(middle, len(left)), strict=True):
        look = "loss" if key in call.losses else look_of(key)
        drawing.line([(x, y), (x + length(left) - 3 * (look == "loss"), y)], look, head=True)
        drawing.label(x + 12, y, key, look)
    if left:
        draw_end(drawing, x + length(left), height, "after")
        x += length(left) + END
    description = f"{name} reads {', '.join(taken) or 'no key'} and writes {', '.join(left) or 'none'}"
    return drawing.svg(x + EDGE, height + 2 * EDGE, description)


def length(keys: list[str]) -> float:
    """Returns the length that arrows need for the names of these keys."""
    return 36 + CHARACTER * max(map(len, keys))


def draw_end(drawing: Drawing, x: float, height: float, text: str) -> None:
    """Draws the box for the hooks before or after."""
    drawing.box(x, EDGE, (END, height), "end")
    drawing.text(x + END / 2, EDGE + height / 2, text, "name")
