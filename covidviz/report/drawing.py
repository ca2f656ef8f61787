"""Drawings that are made once and written as SVG (with the colours of the page) or as PNG.

Coordinates are pixels from the top left. A colour is a name of `COLOURS`, which the page may give another value (dark
theme); a PNG takes it as it stands here.
"""

from __future__ import annotations

import html
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ["COLOURS", "DASHES", "SHAPES", "Drawing", "font"]

# Of the app's light theme; c0 to c7 are told apart without red-green vision too (after Okabe and Ito).
COLOURS = {
    "paper": "#ffffff", "panel": "#eff5f4", "ink": "#12262b", "muted": "#56676c", "line": "#cfdcda",
    "primary": "#0f766e", "wrong": "#c2410c", "cold": "#5b8fb9", "warm": "#d9730d", "warmink": "#a34a00",
    "c0": "#0072b2", "c1": "#d55e00", "c2": "#00886a", "c3": "#aa4499", "c4": "#8a6d00", "c5": "#3aa0d8",
    "c6": "#7a4b2a", "c7": "#5b5ea6",
}  # fmt: skip
DASHES = {"solid": (), "dash": (7.0, 4.0), "dot": (2.0, 3.0)}
SHAPES = ("circle", "square", "diamond", "triangle", "down", "cross")
FAMILY = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif"


@dataclass
class Drawing:
    """Shapes in the order they are drawn.

    label: what it shows, in words. data: what the page's script needs to read values off it.
    """

    width: float
    height: float
    label: str
    data: dict[str, Any] | None = None
    _items: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str | None = None, *, stroke: str | None = None,
        opacity: float = 1.0, radius: float = 0.0, tip: str = "", hatch: bool = False,
    ) -> None:  # fmt: skip
        """A box. `tip`: said when it is pointed at. `hatch`: with slanted lines of `stroke`."""
        self._items.append(("rect", {"x": x, "y": y, "w": w, "h": h, "fill": fill, "stroke": stroke,
                                     "opacity": opacity, "radius": radius, "tip": tip, "hatch": hatch}))  # fmt: skip

    def line(
        self, points: Sequence[tuple[float, float]], stroke: str, *, width: float = 1.0, dash: str = "solid",
        opacity: float = 1.0, series: int | None = None, role: str = "",
    ) -> None:  # fmt: skip
        """A line through `points`. `series`: the data it shows; `role`: for the script."""
        self._items.append(("line", {"points": list(points), "stroke": stroke, "width": width, "dash": dash,
                                     "opacity": opacity, "series": series, "role": role}))  # fmt: skip

    def mark(
        self, x: float, y: float, shape: str, colour: str, *, size: float = 3.5, hollow: bool = False,
        series: int | None = None, at: int | None = None,
    ) -> None:  # fmt: skip
        """A marker of `SHAPES`; `series` and `at` say which value it stands for."""
        self._items.append(("mark", {"x": x, "y": y, "shape": shape, "colour": colour, "size": size, "hollow": hollow,
                                     "series": series, "at": at}))  # fmt: skip

    def text(
        self, x: float, y: float, text: str, *, size: float = 12, fill: str = "ink", anchor: str = "start",
        bold: bool = False, turn: bool = False, role: str = "",
    ) -> None:  # fmt: skip
        """Text on its base line; `anchor` start, middle or end; `turn`: read from below; `role`: for the script."""
        self._items.append(("text", {"x": x, "y": y, "text": text, "size": size, "fill": fill, "anchor": anchor,
                                     "bold": bold, "turn": turn, "role": role}))  # fmt: skip

    # --- SVG ---

    def svg(self, uid: str) -> str:
        """An `<svg>` element. `uid`: unique in the page. Colours are the page's variables, such as `--primary`."""
        import orjson

        data = ""
        if self.data is not None:
            data = f' data-chart="{html.escape(orjson.dumps(self.data).decode())}" tabindex="0"'
        parts = [
            f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img" aria-label="{html.escape(self.label)}"'
            f'{data} style="max-width:{_n(self.width * 1.15)}px">'
        ]
        if any(item.get("hatch") for _, item in self._items):
            parts.append(
                f'<defs><pattern id="h{uid}" width="6" height="6" patternUnits="userSpaceOnUse" '
                'patternTransform="rotate(45)"><path d="M0 0V6" stroke="var(--cold)" stroke-width="1.5" '
                'stroke-opacity=".55"/></pattern></defs>'
            )
        clip = (self.data or {}).get("plot")
        if clip:
            x, y, w, h = clip
            parts.append(
                f'<clipPath id="k{uid}"><rect x="{_n(x - 4)}" y="{_n(y - 4)}" width="{_n(w + 8)}" '
                f'height="{_n(h + 8)}"/></clipPath>'
            )
        inside = False
        for kind, item in self._items:
            belongs = clip is not None and item.get("series") is not None
            if belongs != inside:
                parts.append(f'<g clip-path="url(#k{uid})">' if belongs else "</g>")
                inside = belongs
            parts.append(_SVG[kind](item, uid))
        if inside:
            parts.append("</g>")
        return "".join([*parts, "</svg>"])

    # --- PNG ---

    def png(self, scale: float = 2.0) -> bytes:
        """The drawing on white with a little room around it, `scale` pixels for each of its own."""
        return _bytes_of(ImageOps.expand(self.image(scale), round(10 * scale), COLOURS["paper"]))

    def image(self, scale: float = 2.0) -> Image.Image:
        """As `png`, as an RGB image."""
        fine = scale * 2  # drawn larger and made smaller: Pillow's lines have hard edges
        canvas = Image.new("RGB", (round(self.width * fine), round(self.height * fine)), COLOURS["paper"])
        for kind, item in self._items:
            _PNG[kind](canvas, item, fine)
        return canvas.resize((round(self.width * scale), round(self.height * scale)), Image.Resampling.LANCZOS)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _colour(name: str | None) -> str:
    return "none" if name is None else f"var(--{name})"


def _svg_rect(item: dict[str, Any], uid: str) -> str:
    box = f'x="{_n(item["x"])}" y="{_n(item["y"])}" width="{_n(item["w"])}" height="{_n(item["h"])}"'
    radius = f' rx="{_n(item["radius"])}"' if item["radius"] else ""
    seen = f' fill-opacity="{item["opacity"]:.3f}"' if item["opacity"] < 1 else ""
    tip = f' class="hit" data-tip="{html.escape(item["tip"])}" tabindex="-1"' if item["tip"] else ""
    title = f"<title>{html.escape(item['tip'])}</title>" if item["tip"] else ""
    hatch = f'<rect {box}{radius} fill="url(#h{uid})" pointer-events="none"/>' if item["hatch"] else ""
    stroke = f' stroke="{_colour(item["stroke"])}"' if item["stroke"] else ""
    return f'<rect {box}{radius} fill="{_colour(item["fill"])}"{seen}{stroke}{tip}>{title}</rect>{hatch}'


def _svg_line(item: dict[str, Any], uid: str) -> str:  # noqa: ARG001
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in item["points"])
    dash = f' stroke-dasharray="{" ".join(_n(d) for d in DASHES[item["dash"]])}"' if DASHES[item["dash"]] else ""
    seen = f' stroke-opacity="{item["opacity"]:.2f}"' if item["opacity"] < 1 else ""
    series = "" if item["series"] is None else f' data-s="{item["series"]}"'
    series += f' data-role="{item["role"]}"' if item["role"] else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{_colour(item["stroke"])}" '
        f'stroke-width="{_n(item["width"])}" stroke-linejoin="round"{dash}{seen}{series}/>'
    )


def _svg_mark(item: dict[str, Any], uid: str) -> str:  # noqa: ARG001
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in _outline(item["shape"], item["size"]))
    fill = "paper" if item["hollow"] else item["colour"]
    series = "" if item["series"] is None else f' data-s="{item["series"]}"'
    at = "" if item["at"] is None else f' data-i="{item["at"]}"'
    return (
        f'<polygon points="{points}" transform="translate({_n(item["x"])} {_n(item["y"])})" fill="{_colour(fill)}" '
        f'stroke="{_colour(item["colour"])}" stroke-width="1.4"{series}{at}/>'
    )


def _svg_text(item: dict[str, Any], uid: str) -> str:  # noqa: ARG001
    x, y = _n(item["x"]), _n(item["y"])
    turn = f' transform="rotate(-90 {x} {y})"' if item["turn"] else ""
    anchor = f' text-anchor="{item["anchor"]}"' if item["anchor"] != "start" else ""
    weight = ' font-weight="600"' if item["bold"] else ""
    role = f' data-role="{item["role"]}"' if item["role"] else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{_n(item["size"])}" fill="{_colour(item["fill"])}"{anchor}{weight}{turn}'
        f"{role}>{html.escape(item['text'])}</text>"
    )


_SVG = {"rect": _svg_rect, "line": _svg_line, "mark": _svg_mark, "text": _svg_text}


def _outline(shape: str, r: float) -> list[tuple[float, float]]:
    if shape == "square":
        return [(-r, -r), (r, -r), (r, r), (-r, r)]
    if shape == "diamond":
        return [(0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)]
    if shape == "triangle":
        return [(0, -1.3 * r), (1.2 * r, r), (-1.2 * r, r)]
    if shape == "down":
        return [(0, 1.3 * r), (1.2 * r, -r), (-1.2 * r, -r)]
    if shape == "cross":
        t = r / 2.5
        return [(-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t), (t, r), (-t, r), (-t, t), (-r, t), (-r, -t),
                (-t, -t)]  # fmt: skip
    return [(r * math.cos(a / 8 * math.pi), r * math.sin(a / 8 * math.pi)) for a in range(16)]


# --- Pillow ---


def _rgb(name: str, opacity: float = 1.0) -> tuple[int, int, int]:
    raw, paper = (bytes.fromhex(COLOURS[one][1:]) for one in (name, "paper"))
    r, g, b = (round(opacity * c + (1 - opacity) * p) for c, p in zip(raw, paper, strict=True))
    return r, g, b


def _png_rect(canvas: Image.Image, item: dict[str, Any], scale: float) -> None:
    draw = ImageDraw.Draw(canvas)
    x, y, w, h = (item[key] * scale for key in ("x", "y", "w", "h"))
    box = (round(x), round(y), round(x + w) - 1, round(y + h) - 1)
    if box[2] < box[0] or box[3] < box[1] or not item["opacity"]:
        return
    fill = _rgb(item["fill"], item["opacity"]) if item["fill"] else None
    outline = _rgb(item["stroke"]) if item["stroke"] else None
    draw.rounded_rectangle(box, item["radius"] * scale, fill, outline, round(scale))
    if item["hatch"]:
        piece = canvas.crop((box[0], box[1], box[2] + 1, box[3] + 1))
        lines = ImageDraw.Draw(piece)
        for at in range(-piece.height, piece.width, round(8.5 * scale)):
            lines.line((at, piece.height, at + piece.height, 0), _rgb("cold", 0.55), round(1.5 * scale))
        canvas.paste(piece, box[:2])
        draw.rounded_rectangle(box, item["radius"] * scale, None, outline, round(scale))


def _png_line(canvas: Image.Image, item: dict[str, Any], scale: float) -> None:
    draw = ImageDraw.Draw(canvas)
    colour, width = _rgb(item["stroke"], item["opacity"]), max(1, round(item["width"] * scale))
    points = [(x * scale, y * scale) for x, y in item["points"]]
    dash = [length * scale for length in DASHES[item["dash"]]]
    if not dash:
        draw.line(points, colour, width, joint="curve")
        return
    left, drawn = dash[0], True
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length, at = math.hypot(x1 - x0, y1 - y0), 0.0
        while length - at > 1e-9:
            step = min(left, length - at)
            if drawn:
                a, b = at / length, (at + step) / length
                draw.line(
                    (x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0)), colour, width
                )
            at, left = at + step, left - step
            if left <= 1e-9:
                drawn = not drawn
                left = dash[0] if drawn else dash[1]


def _png_mark(canvas: Image.Image, item: dict[str, Any], scale: float) -> None:
    points = [((item["x"] + x) * scale, (item["y"] + y) * scale) for x, y in _outline(item["shape"], item["size"])]
    fill = _rgb("paper") if item["hollow"] else _rgb(item["colour"])
    ImageDraw.Draw(canvas).polygon(points, fill, _rgb(item["colour"]), round(1.4 * scale))


def _png_text(canvas: Image.Image, item: dict[str, Any], scale: float) -> None:
    letters, colour = font(item["size"] * scale, bold=item["bold"]), _rgb(item["fill"])
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item["anchor"]]
    if not item["turn"]:
        ImageDraw.Draw(canvas).text((item["x"] * scale, item["y"] * scale), item["text"], colour, letters, anchor)
        return
    width, height = round(letters.getlength(item["text"])) + 4, round(item["size"] * scale * 1.5)
    strip = Image.new("L", (width, height))
    ImageDraw.Draw(strip).text((0, height * 0.75), item["text"], 255, letters, "ls")
    strip = strip.rotate(90, expand=True)
    shift = {"start": width, "middle": width / 2, "end": 0}[item["anchor"]]
    at = (round(item["x"] * scale - height * 0.75), round(item["y"] * scale - shift))
    canvas.paste(Image.new("RGB", strip.size, colour), at, strip)


_PNG = {"rect": _png_rect, "line": _png_line, "mark": _png_mark, "text": _png_text}


@lru_cache(maxsize=64)
def font(size: float, *, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of the system, else the one that Pillow brings along."""
    names = ("DejaVuSans-Bold.ttf", "NotoSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf") if bold else ()
    for name in (*names, "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _bytes_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
