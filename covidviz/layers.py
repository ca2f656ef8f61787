"""What the layers of the catalog's networks hold and cost, without torch: shapes, parameters, multiplications.

The numbers lie in layers.json (`covidviz.training.layer_table` measures them, a test compares).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from covidviz.config import TrainConfig

__all__ = ["FILE", "Layer", "Network", "head_parameters", "learning", "network"]

FILE = Path(__file__).with_name("layers.json")
COUNTED_AT = 224


@dataclass(frozen=True)
class Layer:
    """A layer of the catalog. `mega_macs` and `kilo_values` are for one image of 224 px (see `measure` there).

    inner: parameters of the modules inside, by their name after the layer's, such as `1.conv2`.
    """

    name: str
    parameters: int
    buffers: int
    channels: int
    stride: int
    shift: int
    mega_macs: float
    kilo_values: float
    inner: dict[str, int] = field(hash=False)

    def side(self, image_size: int) -> int:
        """Side of its output for a square image of `image_size` pixels."""
        return (image_size + self.shift) // self.stride

    def gmac(self, image_size: int) -> float:
        """Billions of multiplications for one image."""
        return self.mega_macs / 1e3 * (image_size / COUNTED_AT) ** 2

    def values(self, image_size: int) -> float:
        """Numbers that its modules give for one image: what a backward pass through it keeps."""
        return self.kilo_values * 1e3 * (image_size / COUNTED_AT) ** 2


@dataclass(frozen=True)
class Network:
    """A network of the catalog: its layers from the image to the head, whose inputs are `features`."""

    features: int
    layers: tuple[Layer, ...]


@cache
def _table() -> dict[str, Network]:
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Network(row["features"], tuple(Layer(**layer) for layer in row["layers"])) for name, row in rows.items()
    }


def network(model: str) -> Network:
    """The catalog model of that name."""
    return _table()[model]


def head_parameters(features: int, widths: Sequence[int], n_classes: int) -> int:
    """Weights and biases of a new head: hidden layers of `widths`, then one output per class."""
    return sum(before * after + after for before, after in pairwise((features, *widths, n_classes)))


def learning(config: TrainConfig) -> dict[str, int]:
    """How many parameters of each layer learn, for the layers where any do, in the order of the network.

    Of an exact inner module (`layer4.1.conv2`) only its own count; one that does not exist counts nothing.
    """
    named = config.trainable_layers
    result = {}
    for layer in network(config.model).layers:
        if layer.name in named:
            result[layer.name] = layer.parameters
            continue
        inside = sorted(name.removeprefix(f"{layer.name}.") for name in named if name.startswith(f"{layer.name}."))
        outer = [a for a in inside if not any(a.startswith(f"{b}.") for b in inside)]
        if n := sum(layer.inner.get(name, 0) for name in outer):
            result[layer.name] = n
    return result
