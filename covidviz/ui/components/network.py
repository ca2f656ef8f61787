"""The network drawn block by block: what is frozen is cold, what learns is warm, and both can be changed there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from covidviz import layers
from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.ui.components import component

__all__ = ["blocks", "network"]

_network = component("network", '<div class="network cv"></div>')


def blocks(config: TrainConfig, n_classes: int | None) -> dict[str, Any]:
    """What the browser draws and counts with.

    Returns:
        `layers` from the image on (`name`, `title`, `parameters`, `channels`, `side`); `features` that enter the
        head; `head`, its hidden widths; `classes` or None while unknown; `size` of the image; `trainable` as in the
        config; `extras`: exact inner modules that learn, each with `name`, its `layer` and `parameters`.
    """
    network = layers.network(config.model)
    named = config.trainable_layers
    known = MODELS[config.model].layer_names
    inner = [name for name in named if name not in known]
    extras = []
    for name in inner:
        layer = next((one for one in network.layers if name.startswith(f"{one.name}.")), None)
        if layer is not None:
            n = layers.learning(config.replace(trainable=name)).get(layer.name, 0)
            extras.append({"name": name, "layer": layer.name, "parameters": n})
    return {
        "layers": [
            {"name": layer.name, "title": layer.name.removeprefix("features.") if _worded(layer.name) else layer.name,
             "parameters": layer.parameters, "channels": layer.channels, "side": layer.side(config.image_size)}
            for layer in network.layers
        ],
        "features": network.features, "head": list(config.head), "classes": n_classes, "size": config.image_size,
        "trainable": config.trainable, "extras": extras,
    }  # fmt: skip


def _worded(name: str) -> bool:
    """Whether what follows `features.` says something by itself (`denseblock1`, but not `28`)."""
    return not name.removeprefix("features.").isdigit()


def network(drawn: dict[str, Any], *, key: str, on_change: Callable[[str, Sequence[int]], None]) -> None:
    """Draw `blocks`. Counts follow at once in the browser.

    Args:
        on_change: called before the next script run with what is trainable, as in the config, and the head's widths.
    """

    def changed() -> None:
        value = st.session_state[key]["chosen"]
        on_change(str(value["trainable"]), [int(width) for width in value["head"]])

    heard = (st.session_state.get(key) or {}).get("chosen") or {}
    _network(key=key, data={**drawn, "heard": heard.get("at", 0)}, on_chosen_change=changed)
