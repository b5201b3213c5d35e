"""Draws a training step as SVG: boxes for hooks, thin arrows for keys, thick arrows for losses."""

from collections.abc import Mapping
from typing import NamedTuple

from docs.drawing import CHARACTER, ROW, Drawing, HookBox, look_of
from docs.step import Arrow, Call, arrows, modules

LANE, GAP, TOP, LEFT = 15, 16, 46, 24
Calls = list[tuple[str, Call]]
Lanes = dict[tuple[int, str], float]


class Place(NamedTuple):
    """Position of a hook: its top and height, and the y coordinates of keys read, keys written and losses."""

    top: float
    height: float
    taken: dict[str, float]
    left: dict[str, float]
    losses: dict[str, float]


def draw_step(calls: Calls, links: Mapping[str, str] | None = None) -> str:
    """Returns the chart of a step: hooks in a column, keys as vertical lanes from the hook that writes them to those
    that read them, and losses at the right. `links` maps names of hooks to pages."""
    flow, drawing = arrows(calls), Drawing()
    boxes = boxes_of(calls, links or {})
    places, lanes = places_of(calls, flow, boxes), lanes_of(flow)
    box_at = max(lanes.values()) + 55 + CHARACTER * max(len(arrow.key) for arrow in flow)
    width = max(box.width for box in boxes)
    sum_at = box_at + width + 50 + CHARACTER * max(len(key) for _, call in calls for key in call.losses)
    bottom = places[-1].top + places[-1].height
    draw_lanes(drawing, flow, lanes, places)
    for number, (box, place) in enumerate(zip(boxes, places, strict=True)):
        for arrow in flow:
            if arrow.end == number:
                x, y = lanes[arrow.start, arrow.key], place.taken[arrow.key]
                draw_arrow(drawing, [(x, y), (box_at, y)], arrow.key)
                drawing.dot(x, y, look_of(arrow.key))
        for key, y in place.left.items():
            draw_arrow(drawing, [(box_at, y), (lanes[number, key], y)], key)
        box.draw(drawing, (box_at, place.top), (width, place.height))
        for key, y in place.losses.items():
            drawing.line([(box_at + width, y), (sum_at - 3, y)], "loss", head=True)
            drawing.text(box_at + width + 14, y - 10, key, "key start")
    draw_sum(drawing, sum_at, min(y for place in places for y in place.losses.values()), bottom)
    description = f"One training step of {len(calls)} hooks: keys read, keys written and losses"
    return drawing.svg(sum_at + 90, bottom + 60, description)


def boxes_of(calls: Calls, links: Mapping[str, str]) -> list[HookBox]:
    """Returns the boxes of the hooks. The link of a warm-up leads to the hook inside."""
    return [
        HookBox(name, used, call.updated, links.get(name.split()[-1], ""))
        for (name, call), used in zip(calls, modules(calls), strict=True)
    ]


def places_of(calls: Calls, flow: list[Arrow], boxes: list[HookBox]) -> list[Place]:
    """Returns the positions of the hooks, one below the other, each as high as its arrows and modules need."""
    places: list[Place] = []
    top = float(TOP)
    for number, ((_, call), box) in enumerate(zip(calls, boxes, strict=True)):
        keys = [arrow.key for arrow in flow if arrow.end == number]
        left = list(dict.fromkeys(arrow.key for arrow in flow if arrow.start == number))
        height = max(ROW * len(keys + left) + 8, box.height, ROW * len(call.losses) + 20)
        rows, of_losses = (spread(top + height / 2, len(names)) for names in (keys + left, call.losses))
        taken, written = dict(zip(keys, rows, strict=False)), dict(zip(left, rows[len(keys) :], strict=True))
        places.append(Place(top, height, taken, written, dict(zip(call.losses, of_losses, strict=True))))
        top += height + GAP
    return places


def spread(middle: float, number: int) -> list[float]:
    """Returns y coordinates for a number of arrows, centred on a middle."""
    return [middle + (at - (number - 1) / 2) * ROW for at in range(number)]


def lanes_of(flow: list[Arrow]) -> Lanes:
    """Returns the x coordinate of the lane of each key written: the leftmost free lane."""
    last = {(arrow.start, arrow.key): arrow.end for arrow in flow}
    free_after: list[int] = []
    lanes = {}
    for written in sorted(last, key=lambda one: one[0]):
        at = next((at for at, end in enumerate(free_after) if end < written[0]), len(free_after))
        free_after[at : at + 1] = [last[written]]
        lanes[written] = float(LEFT + LANE * at)
    return lanes


def draw_lanes(drawing: Drawing, flow: list[Arrow], lanes: Lanes, places: list[Place]) -> None:
    """Draws the lane of each key from the hook that writes it to the last that reads it, and the batch at the top."""
    for (start, key), x in lanes.items():
        top = TOP - GAP if start < 0 else places[start].left[key]
        end = max(arrow.end for arrow in flow if (arrow.start, arrow.key) == (start, key))
        drawing.line([(x, top), (x, places[end].taken[key])], look_of(key))
    width = max(x for (start, _), x in lanes.items() if start < 0) + LANE / 2
    drawing.box(8, 6, (max(width, 60), TOP - GAP - 6), "end")
    drawing.text(8 + max(width, 60) / 2, (TOP - GAP + 6) / 2, "batch", "name")


def draw_arrow(drawing: Drawing, points: list[tuple[float, float]], key: str) -> None:
    """Draws the arrow of a key to or from a box, with the key as label beside the box."""
    drawing.line(points, look_of(key), head=True)
    drawing.label(max(x for x, _ in points) - 18 - len(key) * CHARACTER, points[0][1], key, look_of(key))


def draw_sum(drawing: Drawing, x: float, top: float, bottom: float) -> None:
    """Draws the bar that collects all losses, and the weighted sum below it."""
    drawing.line([(x, top), (x, bottom + 10)], "loss")
    drawing.box(x - 80, bottom + 10, (160, 42), "end")
    drawing.text(x, bottom + 23, "weighted sum", "name")
    drawing.text(x, bottom + 39, "backward, step", "key middle")
