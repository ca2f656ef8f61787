"""What the live lab can change: the sliders as data for the browser, and its settings in the link. No torch.

The link's `s` holds what differs from the defaults as JSON, as on New run, and `threshold`, which is no setting
of a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from covidviz.catalog import LOSSES, MODELS_OF_LAB
from covidviz.config import TrainConfig, knob
from covidviz.ui import fields, wording
from covidviz.ui import form as forms

__all__ = ["OF_DATA", "SLIDERS", "config_of", "controls", "decode", "difference", "sweeps"]

# What is chosen above the sliders: another value means other features.
OF_DATA = ("data", "model", "weights", "image_size")
SLIDERS = ("lr", "momentum", "batch_size", "epochs", "loss", "focal_gamma", "focal_alpha", "pos_weight", "head",
           "dropout", "seed")  # fmt: skip
LOSSES_OF_LAB = tuple(name for name, row in LOSSES.items() if "single-label" in row.tasks and not row.teaching)

_HEADS = ((), (32,), (64,), (128,), (256,), (512,))
_THRESHOLD_HELP = (
    "Decision threshold: from which probability on an image is called the critical class; below it, the likeliest of "
    "the others. "
    "Off: the likeliest of all."
)
# The part of a field's range that the slider covers; the box beside it takes the whole range.
_LOG = {"lr": (1e-5, 10.0)}
_LINEAR = {"momentum": (0, 0.99), "epochs": (1, 50), "focal_gamma": (0, 5), "dropout": (0, 0.9)}
_STOPS = {
    "batch_size": (4, 8, 16, 32, 64, 128, 256, 512),
    "focal_alpha": (None, *(round(0.05 * i, 2) for i in range(21))),
    "threshold": (None, *(round(0.01 * i, 2) for i in range(1, 100))),
}  # fmt: skip
_FOCAL = {"field": "loss", "among": ["focal"]}
_PLAIN = {"field": "loss", "among": ["cross_entropy"]}


def controls(critical: str | None) -> list[dict[str, Any]]:
    """The sliders, in order.

    Args:
        critical: the class that must not be missed; without one there is neither threshold nor alpha.

    Returns:
        For each `name`, `label`, `help`, `default`, `kind`, and by kind: `log` and `linear`: `low`, `high` and `step`
        of the slider, `least`, `most` (`open`: excluded) of the box; `stops`: `stops` [{value, text}], and where a
        box is beside it `least`, `most`; `number`: `least`, `most`; `choice`: `options` [{value, text}]; `switch`.
        `when`: only with one of these values of another field.
    """
    made = [_control(name) for name in SLIDERS if name != "focal_alpha" or critical is not None]
    if critical is not None:
        stops = [{"value": v, "text": "off" if v is None else f"{v:.2f}"} for v in _STOPS["threshold"]]
        made.insert(-1, {"name": "threshold", "label": "Threshold", "help": _THRESHOLD_HELP, "default": None,
                         "kind": "stops", "stops": stops, "least": 0, "most": 1})  # fmt: skip
    return made


def _control(name: str) -> dict[str, Any]:
    row = knob(name)
    default = "cross_entropy" if name == "loss" else _plain(row["default"])
    made: dict[str, Any] = {"name": name, "label": fields.LABELS[name], "help": row["help"], "default": default}
    if name in ("focal_gamma", "focal_alpha"):
        made["when"] = _FOCAL
    box = {"least": row["low"], "most": row["high"], "whole": isinstance(row["default"], int)}
    if name in _LOG:
        low, high = _LOG[name]
        return {**made, "kind": "log", "low": low, "high": high, "step": 0.05, **box, "open": True}
    if name in _LINEAR:
        low, high = _LINEAR[name]
        return {**made, "kind": "linear", "low": low, "high": high, "step": row["step"], **box,
                **({"most": 0.999} if name == "momentum" else {})}  # fmt: skip
    if name in _STOPS:
        numbers = [{"value": v, "text": "off" if v is None else f"{v:g}"} for v in _STOPS[name]]
        return {**made, "kind": "stops", "stops": numbers, **box}
    if name == "head":
        widths = [{"value": list(v), "text": wording.value(v) if v else "none"} for v in _HEADS]
        return {**made, "kind": "stops", "stops": widths, "label": "Head width"}
    if name == "loss":
        help = " ".join(f"{LOSSES[one].title}: {LOSSES[one].help}" for one in LOSSES_OF_LAB)
        return {**made, "kind": "choice", "help": help,
                "options": [{"value": one, "text": LOSSES[one].title} for one in LOSSES_OF_LAB]}  # fmt: skip
    if name == "pos_weight":
        return {**made, "kind": "switch", "when": _PLAIN}
    return {**made, "kind": "number", **box}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def sweeps(critical: str | None) -> list[dict[str, Any]]:
    """Along which sliders the lab can look: `field`, `label`, `values` in order, `log`, and `when` as of `controls`."""
    points: dict[str, tuple[list[Any], bool]] = {
        "lr": ([*(float(f"{m}e{e}") for e in range(-5, 0) for m in (1, 2, 5)), 1.0], True),
        "momentum": ([*(round(0.1 * i, 2) for i in range(10)), 0.95, 0.99], False),
        "batch_size": ([8, 16, 32, 64, 128, 256], True),
        "epochs": ([1, 2, 3, 5, 8, 12, 16, 20, 25, 30], False),
        "focal_gamma": ([0.25 * i for i in range(21)], False),
        "focal_alpha": ([round(0.1 * i, 1) for i in range(11)], False),
        "dropout": ([round(0.1 * i, 1) for i in range(10)], False),
        "head": ([list(one) for one in _HEADS], False),
        "threshold": ([round(0.04 * i, 2) for i in range(1, 25)], False),
    }
    made = []
    for control in controls(critical):
        if (name := control["name"]) in points:
            values, log = points[name]
            when = {"when": control["when"]} if "when" in control else {}
            made.append({"field": name, "label": control["label"], "values": values, "log": log, **when})
    return made


def difference(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of the lab's settings differs from the defaults, as for the link."""
    given = {name: raw for name, raw in values.items() if name in (*OF_DATA, *SLIDERS)}
    if given.get("loss") == "cross_entropy":
        given["loss"] = None
    found = forms.differing(given)
    if (threshold := _threshold(values.get("threshold"))) is not None:
        found["threshold"] = threshold
    return found


def decode(text: str | None) -> tuple[dict[str, Any], list[str]]:
    """The settings in a link, and what was left out of it and why. Never raises."""
    if text is None:
        return {}, []
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return {}, ["The settings in this link can't be read; these are the defaults."]
    notes = []
    threshold = given.pop("threshold", None)
    if threshold is not None and _threshold(threshold) is None:
        notes.append("Left out of the link: the threshold, which is no number from 0 to 1.")
    values, further = forms.decode(json.dumps(given))
    notes += further
    for name in [name for name in values if name not in (*OF_DATA, *SLIDERS)]:
        notes.append(f"Left out of the link: {fields.LABELS[name]}, which the lab does not change.")
        del values[name]
    for name, accepted in (("model", MODELS_OF_LAB), ("loss", LOSSES_OF_LAB)):
        if name in values and values[name] not in accepted:
            notes.append(f"Left out of the link: {name} {str(values[name])[:40]!r}, which the lab does not take.")
            del values[name]
    if values.get("pos_weight") and values.get("loss"):
        del values["pos_weight"]
    for name in forms.check({**values, "data": "."})[1]:
        if values.pop(name, None) is not None:
            notes.append(f"Left out of the link: {fields.LABELS[name]}, which is not accepted.")
    return difference({**values, "threshold": threshold}), notes


def _threshold(raw: Any) -> float | None:
    number = isinstance(raw, int | float) and not isinstance(raw, bool)
    return round(float(raw), 4) if number and 0 <= raw <= 1 else None


def config_of(values: Mapping[str, Any]) -> TrainConfig:
    """The run of these settings. What has no effect on it is left at its default.

    Raises:
        ConfigError: names the setting.
    """
    used = {name: raw for name, raw in values.items() if name in (*OF_DATA, *SLIDERS)}
    loss = used.get("loss")
    if loss != "focal":
        used = {name: raw for name, raw in used.items() if name not in ("focal_gamma", "focal_alpha")}
    if loss not in (None, "cross_entropy"):
        used.pop("pos_weight", None)
    return TrainConfig.parse({"data": "", **used})
