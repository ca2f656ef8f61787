"""Drawing one phantom: a chest as a sum of attenuations (tissue, air, bone), seen through a film's tone curve.

Coordinates are the patient's: x from -1 (left edge of the picture, the patient's right) to 1, y from -1 (top) to 1.
Nothing here is measured from a patient; the proportions are those of a textbook drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["SIDE", "Picture", "draw"]

SIDE = 256
# Tissue has soft edges, so it is computed on half as many points; noise, letters and cables come at full size.
_GRID = SIDE // 2
_AXIS = ((np.arange(_GRID) + 0.5) * (2 / _GRID) - 1).astype(np.float32)

Field = np.ndarray  # float32 [_GRID, _GRID]


@dataclass(frozen=True)
class Picture:
    """One phantom: the image, and where lungs and lesions truly are. All [SIDE, SIDE] uint8; masks are 0 or 255."""

    image: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray


@dataclass(frozen=True)
class _Build:
    """How a patient is built; the same in each of the patient's pictures."""

    width: float
    height: float
    thorax: float
    shoulder: float
    fat: float
    breast: float
    breast_y: float
    heart: float
    knob: float
    dome: float
    dome_left: float
    bubble: float
    spacing: float
    slope: float
    bone: float
    vessels: float
    bend: float


@dataclass(frozen=True)
class _Space:
    """The patient's coordinates at each pixel."""

    x: Field
    y: Field
    a: Field  # distance from the midline
    left: np.ndarray  # bool: the patient's left, right in the picture


@dataclass(frozen=True)
class _Thorax:
    """Where the lungs are."""

    wall: Field  # distance inwards from the chest wall
    dome: Field  # y of the diaphragm
    base: Field  # y of its rim
    outer: Field  # distance of the chest wall from the midline
    heart: Field  # 0..1
    middle: Field  # 0..1, mediastinum
    inside: Field  # 0..1, soft lung mask
    air: Field  # 0..1, thickness of the lung along the ray


def draw(label: str, patient: list[int], shot: list[int], *, source: str, view: str) -> Picture:
    """One picture of one patient.

    Args:
        label: covid19 (patches in the outer lower zones of both lungs), pneumonia (one dense lobe) or normal.
        patient: seed of the build and the disease.
        shot: seed of pose, breath, exposure and noise.
        source: hospital-a or hospital-b; they differ in their films.
        view: PA, or AP (in bed: shallow breath, larger heart, cables).
    """
    own = np.random.default_rng(patient)
    rng = np.random.default_rng(shot)
    ap = view == "AP"
    build = _build(own)
    space = _pose(build, own, rng, ap)
    thorax = _thorax(build, space, rng, ap)
    lesion, extent = _lesion(label, space, thorax, own, rng)
    attenuation = _tissue(build, space, thorax, own)
    attenuation += build.bone * _bones(build, space, thorax, ap)
    attenuation += lesion * np.minimum(1.4 * thorax.air, 1)
    image = _film(_enlarged(attenuation), rng, source, ap)
    lungs = _enlarged(thorax.inside) > 0.5
    return Picture(image, _mask(lungs), _mask(lungs & (_enlarged(extent) > 0.3)))


def _build(rng: np.random.Generator) -> _Build:
    return _Build(
        width=rng.uniform(0.92, 1.1),
        height=rng.uniform(0.92, 1.1),
        thorax=rng.uniform(0.93, 1.07),
        shoulder=rng.uniform(0.12, 0.34),
        fat=rng.uniform(0, 1),
        breast=rng.uniform(0.04, 0.17) if rng.random() < 0.5 else 0.0,
        breast_y=rng.uniform(0.3, 0.55),
        heart=rng.uniform(0.85, 1.2),
        knob=rng.uniform(0.8, 1.2),
        dome=rng.uniform(0.1, 0.19),
        dome_left=rng.uniform(0.02, 0.08),
        bubble=rng.uniform(-0.05, 0.16),
        spacing=rng.uniform(0.13, 0.16),
        slope=rng.uniform(0.6, 1.5),
        bone=rng.uniform(0.6, 1.1),
        vessels=rng.uniform(0.5, 1.2),
        bend=rng.normal(0, 0.012),
    )


def _pose(build: _Build, own: np.random.Generator, rng: np.random.Generator, ap: bool) -> _Space:
    angle = np.deg2rad(rng.normal(0, 4))
    scale = rng.uniform(0.84, 1.14) * (1.05 if ap else 1.0)
    across = _AXIS[None, :] - rng.normal(0, 0.07)
    down = _AXIS[:, None] - rng.normal(0, 0.07)
    cos, sin = float(np.cos(angle)) / scale, float(np.sin(angle)) / scale
    x = (cos * across + sin * down) / build.width
    y = (cos * down - sin * across) / build.height
    x = x + build.bend * np.sin(3 * y) + 0.012 * _noise(own, 5)
    y = y + 0.012 * _noise(own, 5)
    return _Space(x, y, np.abs(x), x > 0)


def _thorax(build: _Build, at: _Space, rng: np.random.Generator, ap: bool) -> _Thorax:
    x, y, a = at.x, at.y, at.a
    breath = rng.uniform(-0.08, 0.04) - (0.06 if ap else 0)
    turn = rng.normal(0, 0.015)  # turning about the long axis shifts the middle of the chest
    top, bottom = -0.76, 0.58 + breath
    t = np.clip((y - top) / (bottom - top), 0, 1)
    outer = build.thorax * (0.33 + 0.42 * (1 - (1 - np.minimum(t / 0.7, 1)) ** 2.4))
    base = bottom + build.dome_left * at.left
    dome = base - build.dome * (1 - ((a - 0.36) / 0.42) ** 2)
    apex = top + 0.8 * np.maximum(np.abs(a - 0.28) - 0.02, 0) ** 1.7
    wall = outer - a
    above = _smooth((dome - y) / 0.03)

    big = build.heart * (1.12 if ap else 1.0)
    low = 0.22 + 0.7 * breath
    u, v = x - 0.12 - turn, y - low
    v = np.where(v > 0, 0.6 * v, v)  # the heart rests on the diaphragm, its lower edge is not seen
    ventricle = 1 - np.sqrt(((0.82 * u + 0.57 * v) / (0.33 * big)) ** 2 + ((0.82 * v - 0.57 * u) / (0.25 * big)) ** 2)
    atrium = 1 - np.sqrt(((x + 0.03 - turn) / (0.15 * big)) ** 2 + (v / 0.27) ** 2)
    trunk = 1 - np.sqrt(((x - 0.06 - turn) / 0.16) ** 2 + ((y + 0.06) / 0.32) ** 2)
    heart = _smooth(np.maximum(np.maximum(1.6 * ventricle, atrium), 0.8 * trunk) / 0.34)
    knob = 1 - np.sqrt(((x - 0.03 - turn) / (0.13 * build.knob)) ** 2 + ((y + 0.33) / 0.17) ** 2)
    column = 0.085 + 0.05 * _smooth((y + 0.25) / 0.5) + 0.05 * _smooth((-0.5 - y) / 0.3)
    middle = np.maximum(_smooth((column - np.abs(x - turn)) / 0.06 + 0.5), _smooth(knob / 0.5))

    inside = _smooth(wall / 0.03) * _smooth((y - apex) / 0.05) * above * (1 - np.maximum(heart, middle))
    depth = np.sqrt(np.clip(wall / 0.3, 0, 1) * np.clip((y - apex) / 0.3, 0, 1))
    return _Thorax(wall, dome, base, outer, heart, middle, inside, depth * inside)


def _tissue(build: _Build, at: _Space, chest: _Thorax, own: np.random.Generator) -> Field:
    x, y, a = at.x, at.y, at.a
    half = 1.0 + 0.12 * build.fat
    shoulder = -1.0 + build.shoulder * np.clip((a - 0.2) / 0.7, 0, 1.5) ** 1.3 - 0.3 * _smooth((0.3 - a) / 0.15)
    body = np.clip(1 - (a / half) ** 2, 0, 1) ** 0.3 * _smooth((y - shoulder) / 0.12)

    neck = _smooth((-0.5 - y) / 0.25)
    centre = np.maximum(chest.heart * 0.9, chest.middle * (1 - 0.7 * neck))
    centre = centre * (1 - 0.8 * _smooth((y - chest.dome) / 0.15))
    belly = _smooth((y - chest.dome) / 0.05) * _smooth((half - a) / 0.15)
    breast = np.sqrt(np.clip(1 - ((a - 0.46) / 0.36) ** 2 - ((y - build.breast_y) / 0.33) ** 2, 0, 1))
    bubble = _smooth((1 - np.sqrt(((x - 0.36) / 0.17) ** 2 + ((y - chest.base - 0.04) / 0.09) ** 2)) / 0.4)
    trachea = _smooth((0.05 - np.abs(x - 0.005)) / 0.04) * _smooth((-0.24 - y) / 0.12)
    value = body * (0.60 + 0.08 * y + 0.08 * build.fat - 0.42 * chest.air + 0.15 * centre + 0.17 * belly)
    value += 0.02 * _noise(own, 4) + build.breast * breast - max(build.bubble, 0) * bubble - 0.06 * trachea * body

    # Vessels fan out from the hila; parenchyma is a fine grain.
    u, v = a - 0.15, y + 0.02
    rho = np.sqrt(u**2 + (0.8 * v) ** 2)
    theta = np.arctan2(v, u) + 0.12 * _noise(own, 7) + 3 * at.left
    near = np.exp(-((rho / 0.24) ** 2))
    fan = _rays(own, theta, rho, 30) * near + 0.7 * _rays(own, theta, rho, 84) * np.exp(-rho / 0.3) * (1 - near)
    hilum = np.exp(-((rho / 0.12) ** 2))
    grain = 0.6 * _noise(own, 28) + 0.4 * _noise(own, 64)
    value += chest.inside * (build.vessels * (0.085 * fan * (1 - 0.5 * hilum) + 0.06 * hilum) + 0.009 * grain)
    return value


def _bones(build: _Build, at: _Space, chest: _Thorax, ap: bool) -> Field:
    x, y, a = at.x, at.y, at.a
    reach = a / 0.78
    side = np.exp(-(((chest.wall + 0.02) / 0.06) ** 2))
    back = (y - build.slope * (0.04 * reach + 0.13 * reach**3)) / build.spacing
    front = (y + build.slope * 0.36 * (reach - 0.2)) / (build.spacing * 1.15) + 0.35
    ribs = _rib(back, 0.2) * (0.75 + 0.7 * side) * _smooth((a - 0.05) / 0.06)
    ribs += 0.55 * _rib(front, 0.23) * _smooth((a - 0.2) / 0.3) * _smooth((0.6 - y) / 0.4)
    # Under the diaphragm the belly hides them.
    ribs *= (
        _smooth((chest.outer + 0.07 - a) / 0.03)
        * _smooth((y + 0.84) / 0.12)
        * (1 - 0.75 * _smooth((y - chest.dome) / 0.2))
    )

    u = np.clip((a - 0.06) / 0.75, 0, 1)
    collar = -0.56 - (0.06 if ap else 0) - 0.15 * u - 0.05 * np.sin(5 * u)
    clavicle = _bar((y - collar) / (0.044 - 0.014 * u)) * _smooth((a - 0.06) / 0.04) * _smooth((0.86 - a) / 0.06)
    edge = 0.72 + 0.16 * np.clip(y + 0.6, 0, 1) - (0.1 if ap else 0)
    blade = (
        _smooth((a - edge) / 0.04)
        * _smooth((-0.02 - y) / 0.15)
        * _smooth((y + 0.68) / 0.08)
        * _smooth((1.02 - a) / 0.12)
    )
    humerus = _smooth((1 - np.sqrt(((a - 0.98) / 0.15) ** 2 + ((y + 0.56) / 0.16) ** 2)) / 0.25)
    spine = _smooth((0.09 - np.abs(x)) / 0.04) * (0.75 + 0.25 * np.cos((2 * np.pi / 0.115) * y))
    return 0.085 * ribs + 0.09 * clavicle + 0.05 * blade + 0.09 * humerus + 0.045 * spine


def _lesion(
    label: str, at: _Space, chest: _Thorax, own: np.random.Generator, rng: np.random.Generator
) -> tuple[Field, Field]:
    """The disease: added attenuation (0 to about 0.5), and its extent (0..1)."""
    y, a = at.y, at.a
    extent = np.zeros((_GRID, _GRID), np.float32)
    if label == "normal":
        return extent, extent
    ragged = 0.6 * _noise(own, 12) + 0.4 * _noise(own, 30)
    if label == "covid19":
        # Ground glass: several hazy, finely netted patches along the outer wall of both lungs, mostly low.
        strength = own.uniform(0.23, 0.53)
        for left in (False, True):
            for _ in range(own.integers(3, 6)):
                across, down = own.uniform(0.11, 0.2), own.uniform(0.11, 0.22)
                inwards, low = own.uniform(0.04, 0.22), own.uniform(-0.1, 0.45)
                spot = ((chest.wall - inwards) / across) ** 2 + ((y - low) / down) ** 2 + 0.15 * ragged
                extent = np.maximum(
                    extent, np.exp(-(np.maximum(spot, 0) ** 2)) * own.uniform(0.6, 1.0) * (at.left == left)
                )
        texture = 0.8 + 0.25 * ragged + 0.4 * _noise(own, 56)
    else:
        # Consolidation: one dense, even patch that keeps to a lobe.
        strength = own.uniform(0.31, 0.65)
        high, low = ((-0.85, -0.12), (-0.3, 0.22), (-0.05, 0.9))[own.integers(3)]
        level = y + own.uniform(-0.3, 0.3) * (a - 0.4) + own.normal(0, 0.04) + 0.025 * ragged
        extent = _smooth((level - high) / 0.16) * _smooth((low - level) / own.uniform(0.06, 0.16))
        extent *= _smooth((a - own.uniform(0.05, 0.25) + 0.03 * ragged) / own.uniform(0.12, 0.25))
        extent *= at.left == (own.random() < 0.5)
        texture = 1 + 0.2 * ragged
    extent = (extent * chest.inside).astype(np.float32)
    return strength * rng.uniform(0.85, 1.15) * extent * np.clip(texture, 0.1, 1.7), extent


def _film(attenuation: Field, rng: np.random.Generator, source: str, ap: bool) -> np.ndarray:
    soft = _blur(attenuation, 16)
    if source == "hospital-a":
        value = 0.88 * attenuation + 0.12 * soft
        low, high, gamma = rng.uniform(-0.12, 0.06), rng.uniform(0.86, 1.04), rng.uniform(0.75, 1.2)
    else:  # a processed digital film: local contrast up
        value = attenuation + rng.uniform(0.15, 0.6) * (attenuation - soft)
        low, high, gamma = rng.uniform(-0.02, 0.1), rng.uniform(0.92, 1.16), rng.uniform(0.8, 1.3)
    value = np.clip((value - low) / (high - low), 0, 1.5) ** gamma
    value = np.where(value > 0.75, 0.75 + 0.25 * np.tanh((value - 0.75) / 0.25), value)
    value += rng.uniform(0.006, 0.02) * rng.standard_normal((SIDE, SIDE), dtype=np.float32) * (0.5 + value)
    return _labelled((np.clip(value, 0, 1) * 255).astype(np.uint8), rng, source, ap)


def _labelled(image: np.ndarray, rng: np.random.Generator, source: str, ap: bool) -> np.ndarray:
    """With what lies on films of every class: a side letter, cables, the collimator's edge."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    if ap and rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            knots = np.cumsum(np.vstack([rng.uniform(20, SIDE - 20, 2), rng.normal(0, 42, (4, 2))]), axis=0)
            s = np.linspace(0, 1, 40)[:, None]
            curve = sum(
                b * (1 - s) ** (4 - i) * s**i * k for i, (b, k) in enumerate(zip((1, 4, 6, 4, 1), knots, strict=True))
            )
            path = [(float(px), float(py)) for px, py in curve]
            shade, (x, y) = int(rng.integers(170, 240)), path[0]
            pen.line(path, fill=shade, width=1)
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=shade)
    if rng.random() < 0.5:
        spot = (float(rng.uniform(0.86, 0.93)) * SIDE, float(rng.uniform(0.03, 0.12)) * SIDE)
        pen.text(spot, "L", fill=235, font=ImageFont.load_default(14))
    if source == "hospital-b" and rng.random() < 0.5:
        for edge, width in enumerate(rng.integers(0, 12, 4).tolist()):
            box = [
                (0, 0, width, SIDE),
                (0, 0, SIDE, width),
                (SIDE - width, 0, SIDE, SIDE),
                (0, SIDE - width, SIDE, SIDE),
            ][edge]
            if width:
                pen.rectangle(box, fill=4)
    return np.asarray(picture)


def _mask(where: np.ndarray) -> np.ndarray:
    return where.astype(np.uint8) * np.uint8(255)


def _smooth(t: Field) -> Field:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _rib(phase: Field, half: float) -> Field:
    """A band at each whole number of `phase`, brighter along its edges (the cortex), most below."""
    off = phase - np.rint(phase)
    body = _smooth((half - np.abs(off)) / 0.09)
    return (
        0.6 * body
        + 0.45 * np.exp(-(((off - 0.75 * half) / 0.06) ** 2))
        + 0.2 * np.exp(-(((off + 0.8 * half) / 0.06) ** 2))
    )


def _bar(t: Field) -> Field:
    return 0.6 * _smooth((1 - np.abs(t)) / 0.3) + 0.4 * np.exp(-(((np.abs(t) - 0.75) / 0.2) ** 2))


def _noise(rng: np.random.Generator, cells: int) -> Field:
    """Smooth noise with about `cells` bumps along a side, standard deviation near 1."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((_GRID, _GRID), Image.Resampling.BICUBIC))


def _enlarged(field: Field) -> np.ndarray:
    """float32 [SIDE, SIDE]"""
    return np.asarray(Image.fromarray(field).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _blur(image: np.ndarray, pixels: int) -> np.ndarray:
    small = Image.fromarray(image).resize((SIDE // pixels,) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _rays(rng: np.random.Generator, theta: Field, rho: Field, n: int) -> Field:
    """Rays of random brightness at about `n` angles around the circle, changing along their way."""
    table = rng.standard_normal((n, 9)).astype(np.float32)
    i = (theta * (n / (2 * np.pi))) % n
    j = np.clip(rho * 9, 0, 7.99)
    i0, j0 = i.astype(np.int32) % n, j.astype(np.int32)
    fi, fj = i - np.floor(i), j - j0
    i1 = (i0 + 1) % n
    inner = table[i0, j0] * (1 - fi) + table[i1, j0] * fi
    outer = table[i0, j0 + 1] * (1 - fi) + table[i1, j0 + 1] * fi
    return np.maximum(inner * (1 - fj) + outer * fj, -0.25)
