"""The drawings of a report: curves, matrices, intervals, the network. From plain numbers; nothing is read here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from covidviz import layers
from covidviz.config import TrainConfig
from covidviz.report.drawing import SHAPES, Drawing
from covidviz.report.say import bare, plural, short

__all__ = ["Curve", "Span", "curves", "intervals", "look_of", "matrices", "network"]

WIDE, HIGH = 400, 290


@dataclass(frozen=True)
class Curve:
    """Values `y` at epochs `x`; `number`: its colour and marker; `dash`: solid for validation, dash for training."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    number: int = 0
    dash: str = "solid"


def look_of(number: int) -> tuple[str, str]:
    """Colour and marker of the run (or class) of this number, from 0; no two of the first 24 are alike in both."""
    return f"c{number % 8}", SHAPES[(number + number // 8) % len(SHAPES)]


def curves(title: str, lines: Sequence[Curve], *, unit: bool = False, best: int | None = None) -> Drawing | None:
    """Lines over epochs. None where there is no finite value.

    Args:
        unit: the values are shares: the axis ends at 1.
        best: an epoch to mark.
    """
    some = [
        Curve(one.name, [x for x, _ in pairs], [y for _, y in pairs], one.number, one.dash)
        for one in lines
        if (pairs := [(float(x), float(y)) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(y)])
    ]
    if not some:
        return None
    first, last = min(min(one.x) for one in some), max(max(one.x) for one in some)
    first, last = (first - 0.5, last + 0.5) if first == last else (first, last)
    low, high = min(min(one.y) for one in some), max(max(one.y) for one in some)
    room = 0.06 * (high - low) or 0.05
    low, high = low - room, high + room
    low, high = (max(0.0, low), min(1.0, high)) if unit else (max(0.0, low), high)
    columns = 1 if max(len(one.name) for one in some) > 22 else 2
    keys = -(-len(some) // columns)
    left, top, bottom = 44.0, 30.0 + 17 * keys, 34.0
    width, height = WIDE - left - 12, HIGH - 74.0
    whole = top + height + bottom
    plot = (left, top, width, height)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x - first) / (last - first) * width, top + height - (y - low) / (high - low) * height

    data = {
        "plot": plot, "range": [first, last, low, high], "unit": "epoch",
        "series": [
            {"name": one.name, "colour": look_of(one.number)[0], "dash": one.dash, "x": list(one.x),
             "y": [float(f"{y:.5g}") for y in one.y]}
            for one in some
        ],
    }  # fmt: skip
    chart = Drawing(WIDE, whole, f"{title} by epoch: {', '.join(one.name for one in some)}", data)
    chart.text(0, 14, title, size=13.5, bold=True)
    for k, one in enumerate(some):
        x, y = 4 + k % columns * (WIDE / columns), 32.0 + 17 * (k // columns)
        colour, shape = look_of(one.number)
        chart.line([(x, y - 4), (x + 26, y - 4)], colour, width=2.2, dash=one.dash)
        chart.mark(x + 13, y - 4, shape, colour, hollow=one.dash != "solid")
        chart.text(x + 32, y, short(one.name, 46 // columns), size=11.5, fill="muted", role=f"key-{k}")
    for value in ticks(low, high, 5):
        _, y = at(first, value)
        chart.line([(left, y), (left + width, y)], "line", role="grid")
        chart.text(left - 6, y + 4, _tick(value), size=11, fill="muted", anchor="end", role="y")
    for value in ticks(first, last, 6, whole=True):
        x, _ = at(value, low)
        chart.text(x, top + height + 16, _tick(value), size=11, fill="muted", anchor="middle", role="x")
    chart.text(left + width / 2, whole - 3, "epoch", size=11, fill="muted", anchor="middle")
    if best is not None and first <= best <= last:
        x, _ = at(best, low)
        chart.line([(x, top), (x, top + height)], "muted", width=1.2, dash="dot", series=-1)
    for k, one in enumerate(some):
        colour, shape = look_of(one.number)
        points = [at(x, y) for x, y in zip(one.x, one.y, strict=True)]
        chart.line(points, colour, width=2.2, dash=one.dash, series=k)
        every = max(1, -(-len(points) // 12))
        for i, point in enumerate(points):
            if i % every == 0 or i == len(points) - 1:
                chart.mark(*point, shape, colour, size=3, hollow=one.dash != "solid", series=k, at=i)
    return chart


def ticks(low: float, high: float, n: int, *, whole: bool = False) -> list[float]:
    """About `n` round values from `low` to `high`."""
    raw = (high - low) / max(1, n)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    step = max(1.0, step) if whole else step
    start = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(start, math.floor(high / step + 1e-9) + 1)]


def _tick(value: float) -> str:
    return f"{value:g}"


# --- matrices ---


def matrices(confusion: dict[str, Any], classes: Sequence[str], task: str, title: str) -> list[Drawing]:
    """The confusion matrix, or one for each label: counts, and the share of each row as its colour."""
    if task == "single-label":
        return [_matrix(title, confusion["matrix"], classes, classes)]
    drawn = []
    for name in classes:
        n = confusion[name]
        drawn.append(
            _matrix(f"{title}: {name}", [[n["tp"], n["fn"]], [n["fp"], n["tn"]]], ("yes", "no"), ("yes", "no"))
        )
    return drawn


def _matrix(title: str, counts: Sequence[Sequence[int]], rows: Sequence[str], columns: Sequence[str]) -> Drawing:
    k = len(rows)
    side = 66.0 if k <= 3 else max(40.0, 230 / k)
    high = 50.0 if k <= 3 else side
    left, top = 22.0 + 6.4 * min(10, max(len(name) for name in rows)), 62.0
    total = sum(map(sum, counts))
    head = f"{title} ({total:,})"
    chart = Drawing(
        max(left + k * side + 6, 8.2 * len(head)), top + k * high + 8,
        f"Confusion matrix, {title}: " + "; ".join(
            f"of {sum(row)} {name}, " + ", ".join(f"{n} called {other}" for other, n in zip(columns, row, strict=True))
            for name, row in zip(rows, counts, strict=True)
        ),
    )  # fmt: skip
    chart.text(0, 14, head, size=13.5, bold=True)
    chart.text(left + k * side / 2, 36, "called", size=11, fill="muted", anchor="middle")
    letters = max(5, int(side / 6.4))
    for j, name in enumerate(columns):
        chart.text(left + (j + 0.5) * side, 54, short(name, letters), size=11, anchor="middle")
    for i, name in enumerate(rows):
        n_row = sum(counts[i])
        middle = top + (i + 0.5) * high
        chart.text(left - 8, middle, short(name, 12), size=11.5, anchor="end")
        chart.text(left - 8, middle + 14, f"{n_row:,}", size=10.5, fill="muted", anchor="end")
        for j, other in enumerate(columns):
            n = int(counts[i][j])
            share = n / n_row if n_row else 0.0
            tip = f"true {name}, called {other}: {plural(n, 'image')}" + (
                f", {_percent(share)} of the row" if n_row else ""
            )
            x, y = left + j * side, top + i * high
            chart.rect(x + 1, y + 1, side - 2, high - 2, "panel", radius=4)
            chart.rect(x + 1, y + 1, side - 2, high - 2, "primary" if i == j else "wrong", opacity=0.6 * share,
                       radius=4, tip=tip)  # fmt: skip
            size = 14 if k <= 4 else 11
            chart.text(x + side / 2, y + high / 2 + 2, f"{n:,}", size=size, anchor="middle", bold=i == j)
            chart.text(x + side / 2, y + high / 2 + 17, _percent(share) if n_row else "–", size=10.5, anchor="middle")
    return chart


def _percent(share: float) -> str:
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


# --- intervals ---


@dataclass(frozen=True)
class Span:
    """A value with the ends of its interval (None where unknown); `number`: its colour and marker."""

    name: str
    value: float
    low: float | None
    high: float | None
    number: int = 0


def intervals(title: str, spans: Sequence[Span], *, zero: bool = False) -> Drawing:
    """Values one below the other, each with its 95 % interval, on one axis. `zero`: they are differences."""
    row, left, right, top = 24, 150, 118, 28
    known = [v for one in spans for v in (one.value, one.low, one.high) if v is not None]
    low, high = min(known), max(known)
    if zero:
        high = max(abs(low), abs(high), 0.02)
        low = -high
    room = 0.06 * (high - low) or 0.02
    low, high = low - room, high + room
    if not zero:
        low, high = max(0.0, low), min(1.0, high)
    wide = 620.0
    width = wide - left - right
    bottom = top + row * len(spans)
    chart = Drawing(wide, bottom + 28, f"{title}: " + "; ".join(
        f"{one.name} {bare(one.value, 3)}, {bare(one.low, 3)} to {bare(one.high, 3)}" for one in spans))  # fmt: skip

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * width

    chart.text(0, 14, title, size=13.5, bold=True)
    for value in ticks(low, high, 6):
        chart.line([(at(value), top), (at(value), bottom)], "line")
        chart.text(at(value), bottom + 16, _tick(value).replace("-", "\N{MINUS SIGN}"), size=11, fill="muted",
                   anchor="middle")  # fmt: skip
    if zero:
        chart.line([(at(0), top), (at(0), bottom)], "ink", width=1.4)
    for k, one in enumerate(spans):
        y = top + row * (k + 0.5)
        colour, shape = look_of(one.number)
        chart.text(left - 10, y + 4, short(one.name, 24), size=11.5, anchor="end")
        said = shown = bare(one.value)
        if one.low is not None and one.high is not None:
            chart.line([(at(one.low), y), (at(one.high), y)], colour, width=3, opacity=0.55)
            said += f", 95 % {bare(one.low)} to {bare(one.high)}"
            shown += f" ({bare(one.low)} to {bare(one.high)})"
        chart.mark(at(one.value), y, shape, colour, size=4.5)
        chart.text(wide, y + 4, shown, size=11, fill="muted", anchor="end")
        chart.rect(left, y - row / 2, width, row, "ink", opacity=0.0, tip=f"{one.name}: {said}")
    return chart


# --- the network ---


def network(config: TrainConfig, title: str) -> Drawing:
    """The network block by block, from the image to the classes: cold and hatched what is frozen, warm what learns.

    As high as the picture that leaves the block is large, as wide as it has channels (both on a root scale).
    """
    found, learning = layers.network(config.model), layers.learning(config)
    cells: list[tuple[str, str, int, float, float, float]] = []  # name, what leaves, parameters, share, height, width
    for layer in found.layers:
        side = layer.side(config.image_size)
        share = learning.get(layer.name, 0) / layer.parameters if layer.parameters else 0.0
        cells.append((
            layer.name.removeprefix("features."), f"{side} x {side} x {layer.channels}", layer.parameters,
            share, 26 + 84 * math.sqrt(side / config.image_size), 14 + 1.15 * math.sqrt(layer.channels),
        ))  # fmt: skip
    parts = (*config.head, len(config.classes))
    before = found.features
    for k, units in enumerate(parts):
        name = "classes" if k == len(parts) - 1 else f"head {k + 1}"
        cells.append((name, f"{units:,}", before * units + units, 1.0, 18 + 2.2 * math.sqrt(min(units, 1024)), 20.0))
        before = units
    per_row = 8
    rows = [cells[k : k + per_row] for k in range(0, len(cells), per_row)]
    wide, row_high = 720.0, 196.0
    slot = min(96.0, (wide - 58) / max(len(row) for row in rows))
    chart = Drawing(wide, 46 + row_high * len(rows), f"{title}: " + "; ".join(
        f"{name} {'learns' if share == 1 else 'frozen' if not share else f'{100 * share:.0f} % learns'}"
        for name, _, _, share, _, _ in cells))  # fmt: skip
    chart.text(0, 14, title, size=13.5, bold=True)
    keys = (("cold", 0.18, True, "frozen"), ("warm", 0.75, False, "learns"))
    for k, (colour, opacity, hatch, word) in enumerate(keys):
        chart.rect(2 + 90 * k, 24, 22, 13, colour, stroke=colour, opacity=opacity, hatch=hatch, radius=2)
        chart.text(30 + 90 * k, 35, word, size=11.5, fill="muted")
    chart.text(190, 35, "below each block: its output and its parameters", size=11.5, fill="muted")
    for r, row in enumerate(rows):
        middle = 46 + row_high * r + 72
        x = 4.0
        if r == 0:
            chart.rect(x, middle - 55, 46, 110, "panel", stroke="line", radius=3)
            chart.text(x + 23, middle + 4, "image", size=11, anchor="middle")
            chart.text(x + 23, middle + 76, f"{config.image_size} px", size=10, fill="muted", anchor="middle")
        x += 54 if r == 0 else 0
        chart.line([(x - (4 if r == 0 else 0), middle), (x + len(row) * slot - 8, middle)], "line", width=1.5)
        for name, shape, n, share, high, width in row:
            left, centre = x + (slot - width) / 2 - 2, x + slot / 2 - 2
            learns = "learns" if share == 1 else f"{100 * share:.0f} % learns" if share else "frozen"
            chart.rect(left, middle - high / 2, width, high, "paper", radius=2)
            colour, opacity = ("warm", 0.3 + 0.45 * share) if share else ("cold", 0.18)
            chart.rect(left, middle - high / 2, width, high, colour, stroke=colour, opacity=opacity, radius=2,
                       hatch=not share, tip=f"{name}: {learns}, {n:,} parameters, output {shape}")  # fmt: skip
            chart.text(centre, middle + 76, short(name, 11), size=10.5, anchor="middle", bold=bool(share))
            chart.text(centre, middle + 89, shape.replace(" x ", "×"), size=9.5, fill="muted", anchor="middle")
            chart.text(centre, middle + 101, _count(n), size=9.5, fill="muted", anchor="middle")
            chart.text(centre, middle + 113, learns.replace(" learns", ""), size=9.5, anchor="middle",
                       fill="warmink" if share else "muted")  # fmt: skip
            x += slot
    return chart


def _count(n: int) -> str:
    return f"{n / 1e6:.1f} M" if n >= 1e6 else f"{n / 1e3:.0f} k" if n >= 1e4 else f"{n:,}"
