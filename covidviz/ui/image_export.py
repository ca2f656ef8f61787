"""What people take along from the Images page: a table of the chosen images, and one picture with all of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from covidviz.evaluation.ranking import labels_of
from covidviz.explain.overlay import PALETTES, cam_image, overlay
from covidviz.store.reader import Run
from covidviz.ui import pictures, replays
from covidviz.ui.album import items_of
from covidviz.ui.results import Results
from covidviz.ui.spreadsheet import cell
from covidviz.ui.text import shorten

__all__ = ["SHEET_LIMIT", "Heat", "chosen", "contact_sheet", "table"]

SHEET_LIMIT = 300  # images on a contact sheet
SIDE, CAPTION, GAP, HEAD = 160, 36, 8, 44  # pixels


@dataclass(frozen=True)
class Heat:
    """The heat maps as they are shown: `opacity` 0..1, palette, each image on its `own` scale, and whose map.

    `label` is a class index, or `true` or `auto`: the true class, or the predicted one.
    """

    opacity: float = 0.0
    colours: str = "plasma"
    own: bool = False
    label: int | str = "auto"

    @classmethod
    def of(cls, given: object) -> Heat:
        """What a browser sent; what is out of range is not taken."""
        raw = given if isinstance(given, dict) else {}
        opacity, label, colours = raw.get("opacity"), raw.get("label"), raw.get("colours")
        return cls(
            opacity=min(100, max(0, opacity)) / 100 if isinstance(opacity, int) else 0.0,
            colours=colours if isinstance(colours, str) and colours in PALETTES else "plasma",
            own=raw.get("own") is True,
            label=label if (isinstance(label, int) and label >= 0) or label == "true" else "auto",
        )


def chosen(found: Results, ids: Sequence[str]) -> pd.DataFrame:
    """The rows of `found` with these sample ids, in their order; unknown ids are left out."""
    frame = found.frame
    order = {name: k for k, name in enumerate(dict.fromkeys(ids))}
    rows = frame[frame["sample_id"].astype(str).isin(order)]
    return rows.iloc[rows["sample_id"].astype(str).map(order).argsort(kind="stable")]


def table(run: Run, found: Results, rows: pd.DataFrame) -> bytes:
    """Facts, labels, probabilities and loss of `rows` as CSV (UTF-8), one line per image."""
    classes = found.classes
    first = [name for name in ("sample_id", "path", "split", "patient_id", "source", "view") if name in rows]
    labels, prob = [f"label_{name}" for name in classes], [f"prob_{name}" for name in classes]
    kept = rows[[*first, *labels, *prob, "loss", "right"]]
    kept.insert(0, "run", run.id)
    if replays.EPOCH in rows:
        kept.insert(1, "epoch", rows[replays.EPOCH])
    texts = kept.select_dtypes(exclude=["number", "bool"]).columns
    kept[texts] = kept[texts].map(cell, na_action="ignore")
    return kept.rename(columns=lambda name: str(cell(name))).to_csv(index=False).encode()


def contact_sheet(run: Run, found: Results, rows: pd.DataFrame, heat: Heat, title: str) -> bytes:
    """The first `SHEET_LIMIT` images of `rows` as one PNG: thumbnails with their captions, and a head line."""
    shown = rows.head(SHEET_LIMIT)
    columns = max(1, min(len(shown), 6 if len(shown) <= 36 else 10 if len(shown) <= 120 else 15))
    lines = -(-len(shown) // columns)
    width = max(3 * (SIDE + GAP), columns * (SIDE + GAP)) + GAP
    sheet = Image.new("RGB", (width, HEAD + lines * (SIDE + CAPTION + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 12), _fit(draw, title, width - 2 * GAP, _font(17)), fill="#12262b", font=_font(17))
    items = {
        item["id"]: item
        for _, part in shown.groupby("split", sort=False)
        for item in items_of(run, part, found.classes, found.task)
    }
    truth = dict(zip(shown["sample_id"].astype(str), labels_of(shown, found.classes).argmax(axis=1), strict=True))
    for k, sample_id in enumerate(shown["sample_id"].astype(str)):
        x = GAP + k % columns * (SIDE + GAP)
        y = HEAD + k // columns * (SIDE + CAPTION + GAP)
        item = items[sample_id]
        draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill="#0b0f10")
        label = int(truth[sample_id]) if heat.label == "true" else item["k"] if heat.label == "auto" else heat.label
        picture = _picture(run, sample_id, heat, int(label))
        if picture is None:
            draw.text((x + 8, y + SIDE // 2 - 8), "image missing", fill="#b8c4c4", font=_font(12))
        else:
            sheet.paste(picture, (x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2))
        colour = "#0b5f58" if item["right"] else "#a33d00"
        word = "right" if item["right"] else "wrong"
        draw.text((x, y + SIDE + 3), _fit(draw, item["what"], SIDE, _font(12)), fill="#12262b", font=_font(12))
        draw.text(
            (x, y + SIDE + 18), _fit(draw, f"{word}, {item['prob']}", SIDE, _font(11)), fill=colour, font=_font(11)
        )
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=False)
    return out.getvalue()


def _picture(run: Run, sample_id: str, heat: Heat, label: int) -> Image.Image | None:
    content = pictures.picture(run, sample_id, "t")
    if content is None:
        return None
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.thumbnail((SIDE, SIDE))
    found = pictures.heat_of(run, sample_id) if heat.opacity else None
    if found is None or label >= len(found[1]):
        return image
    maps, scale = found
    drawn = cam_image(
        maps[None], scale[None], 0, label, image.size, per_image=heat.own, run_scale=pictures.full_colour(run),
        colours=heat.colours,
    )  # fmt: skip
    return overlay(image, drawn, heat.opacity)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _fit(draw: ImageDraw.ImageDraw, text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    line = shorten(text, 200)
    if draw.textlength(line, font=font) <= width:
        return line
    while line and draw.textlength(f"{line}…", font=font) > width:
        line = line[:-1]
    return f"{line.rstrip()}…"
