"""The sliders of the playground, and what a link says of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from covidviz.catalog import LOSSES
from covidviz.config import knob
from covidviz.evaluation.loss_curves import ASYMMETRIC

__all__ = ["accepted", "batch_controls", "carried", "controls", "decode", "encode"]

OFFERED = ("focal", "class_balanced", "asymmetric")
MOST_IMAGES = 100_000
_FOCAL = {"field": "loss", "among": ["focal"]}
_ASYMMETRIC = {"field": "loss", "among": ["asymmetric"]}


def _linear(name: str, label: str, help: str, default: float, low: float, high: float, step: float,
            **more: Any) -> dict[str, Any]:  # fmt: skip
    return {"name": name, "label": label, "help": help, "default": default, "kind": "linear", "low": low, "high": high,
            "step": step, "least": low, "most": more.pop("most", high), "whole": False, **more}  # fmt: skip


def _count(name: str, label: str, n: int) -> dict[str, Any]:
    return {"name": name, "label": label, "default": max(1, min(n, MOST_IMAGES)), "kind": "log", "low": 1,
            "high": MOST_IMAGES, "step": 0.02, "least": 1, "most": MOST_IMAGES, "whole": True,
            "help": "As if there were so many: shares and class-balanced weights follow."}  # fmt: skip


def controls(class_name: str, yes: int, no: int) -> list[dict[str, Any]]:
    """The sliders, as `covidviz.ui.lab_settings.controls` describes them.

    Args:
        class_name: the label that is looked at; `yes` and `no`: images that have it and have it not.
    """
    gamma, alpha = knob("focal_gamma"), knob("focal_alpha")
    stops = [{"value": None, "text": "off"}, *({"value": v, "text": f"{v:g}"} for v in _steps(0.05, 0.95, 0.05))]
    return [
        {"name": "loss", "label": "Loss", "default": "focal", "kind": "choice",
         "help": " ".join(f"{LOSSES[one].title}: {LOSSES[one].help}" for one in OFFERED),
         "options": [{"value": one, "text": LOSSES[one].title} for one in OFFERED]},
        _linear("gamma", "Gamma", gamma["help"], gamma["default"], 0, 5, gamma["step"], most=gamma["high"],
                when=_FOCAL),
        {"name": "alpha", "label": "Alpha", "help": alpha["help"], "default": 0.25, "kind": "stops", "stops": stops,
         "least": 0, "most": 1, "whole": False, "when": _FOCAL},
        _linear("gamma_neg", "Gamma of a no (γ−)", "How strongly easy noes are turned down.", ASYMMETRIC.gamma_neg,
                0, 8, 0.1, when=_ASYMMETRIC),
        _linear("gamma_pos", "Gamma of a yes (γ+)", "How strongly easy yeses are turned down.", ASYMMETRIC.gamma_pos,
                0, 5, 0.1, when=_ASYMMETRIC),
        _linear("clip", "Clip", "A no below this probability counts nothing.", ASYMMETRIC.clip, 0, 0.5, 0.01,
                when=_ASYMMETRIC),
        _count("yes", f"With {class_name}", yes),
        _count("no", f"Without {class_name}", no),
        _linear("p", "Look at p", "The line in the charts; the sentence below them reads it off.", 0.5, 0.01, 0.99,
                0.01),
    ]  # fmt: skip


def _steps(low: float, high: float, step: float) -> list[float]:
    return [round(low + i * step, 4) for i in range(round((high - low) / step) + 1)]


def batch_controls() -> list[dict[str, Any]]:
    """The sliders of the faulty loss."""
    gamma = knob("focal_gamma")
    return [
        _linear("gamma", "Gamma", "The exponent; the report used 2 and 1.5.", gamma["default"], 0, 5, gamma["step"]),
        _linear("start", "Cross-entropy at the start", "B before the first step. An untrained network has .693.", 0.3,
                0.02, 2, 0.01),
        {"name": "lr", "label": "Learning rate", "help": "How far each step goes.", "default": 0.3, "kind": "log",
         "low": 0.01, "high": 3, "step": 0.05, "least": 0.001, "most": 10, "whole": False},
    ]  # fmt: skip


def decode(text: str | None, among: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings in a link that are accepted; the rest is left out. Never raises."""
    return accepted(_read(text), among)


def carried(text: str | None) -> dict[str, Any]:
    """What of a link's settings holds for another label too: not the numbers of images."""
    kept = _read(text)
    return {name: value for name, value in kept.items() if name not in ("yes", "no")}


def encode(values: Mapping[str, Any]) -> str | None:
    """For the link; None where nothing differs."""
    return json.dumps(dict(values), separators=(",", ":")) if values else None


def _read(text: str | None) -> dict[str, Any]:
    try:
        given = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        given = {}
    return given if isinstance(given, dict) else {}


def accepted(given: Mapping[str, Any], among: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the values from a browser those that the sliders take and that differ from their defaults."""
    found = {}
    for control in among:
        name = control["name"]
        if name in given and _fits(given[name], control) and given[name] != control["default"]:
            found[name] = given[name]
    return found


def _fits(value: Any, control: Mapping[str, Any]) -> bool:
    if control["kind"] == "choice":
        return value in [option["value"] for option in control["options"]]
    if value is None:
        return control["kind"] == "stops"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return bool(control["least"] <= value <= control["most"])
