"""Measures the catalog's networks into covidviz/layers.json, from which the form draws them without torch.

    python -m covidviz.training.layer_table

A test compares the file with torchvision's networks.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from covidviz.catalog import MODELS
from covidviz.layers import FILE

__all__ = ["main", "measure"]

SIDE = 224  # where multiplications and activations are counted
TRIED = (64, 65, 95, 127, 224, 255, 299, 448, 511, 512)  # image sides that fix the rule of the output side


def measure(model: str) -> dict[str, Any]:
    """The row of one catalog model: `features` (inputs of the head) and its `layers` in order.

    Per layer: `name`; `parameters` and `buffers` (entries); `channels` of its output, whose side is
    (image side + `shift`) // `stride`; `mega_macs` and `kilo_values` (outputs of its modules, what a backward pass
    keeps) for one image at 224 px, with everything up to the next layer that is no layer of its own, such as pooling;
    `inner`, the parameters of each module inside.
    """
    row = MODELS[model]
    with torch.device("meta"):
        network = get_model(model).eval()
    sizes = {side: _outputs(network, side) for side in TRIED}
    at_224 = sizes[SIDE]
    owner = _owners(model, list(at_224))
    macs: dict[str, float] = defaultdict(float)
    values: dict[str, float] = defaultdict(float)
    for name, (module, shape) in at_224.items():
        if (layer := owner[name]) is None:
            continue
        output = _numel(shape)
        if isinstance(module, nn.Conv2d):
            macs[layer] += output * _numel(module.weight.shape[1:])
        elif isinstance(module, nn.Linear):
            macs[layer] += output * module.in_features
        if not getattr(module, "inplace", False):
            values[layer] += output
    layers = []
    for name, modules in row.layers:
        parts = [network.get_submodule(part) for part in modules]
        end = _last_output(modules[-1], at_224)
        stride, shift = _rule({side: shapes[end][1][-1] for side, shapes in sizes.items()})
        layers.append({
            "name": name,
            "parameters": sum(p.numel() for part in parts for p in part.parameters()),
            "buffers": sum(b.numel() for part in parts for b in part.buffers()),
            "channels": at_224[end][1][1],
            "stride": stride,
            "shift": shift,
            "mega_macs": round(macs[name] / 1e6, 2),
            "kilo_values": round(values[name] / 1e3, 1),
            "inner": _inner(network, name),
        })  # fmt: skip
    head = network.get_submodule(row.head)
    features = next((m.in_features for m in head.modules() if isinstance(m, nn.Linear)), layers[-1]["channels"])
    return {"features": features, "layers": layers}


def _outputs(network: nn.Module, side: int) -> dict[str, tuple[nn.Module, torch.Size]]:
    """Every module without children, and the catalog's blocks, in the order they end, with the shape they give."""
    found: dict[str, tuple[nn.Module, torch.Size]] = {}
    hooks = []
    for name, module in network.named_modules():

        def note(module: nn.Module, _: object, output: Tensor, name: str = name) -> None:
            found[name] = (module, output.shape)

        hooks.append(module.register_forward_hook(note))
    network(torch.empty(1, 3, side, side, device="meta"))
    for hook in hooks:
        hook.remove()
    return found


def _owners(model: str, names: list[str]) -> dict[str, str | None]:
    """The layer that each leaf module counts to: its own, else the one before it; None for blocks and the head."""
    row = MODELS[model]
    inside = {part: layer for layer, parts in row.layers for part in parts}
    result: dict[str, str | None] = {}
    current: str | None = row.layers[0][0]
    for name in names:
        leaf = not any(other.startswith(f"{name}.") for other in names) and name
        own = next((layer for part, layer in inside.items() if name == part or name.startswith(f"{part}.")), None)
        current = own or current
        result[name] = current if leaf and not f"{name}.".startswith(f"{row.head}.") else None
    return result


def _last_output(module: str, outputs: dict[str, tuple[nn.Module, torch.Size]]) -> str:
    """`module` itself, or the last part of it that was called by itself."""
    return module if module in outputs else [name for name in outputs if name.startswith(f"{module}.")][-1]


def _rule(sizes: dict[int, int]) -> tuple[int, int]:
    """(stride, shift) with output side = (image side + shift) // stride for all `sizes`: strided windows compose so."""
    for power in range(7):
        stride = 2**power
        for shift in sorted(range(-2 * stride, 2 * stride), key=abs):
            if all((side + shift) // stride == out for side, out in sizes.items()):
                return stride, shift
    raise ValueError(f"no (side + shift) // stride gives {sizes}")


def _inner(network: nn.Module, layer: str) -> dict[str, int]:
    """Parameters of every module inside a layer that has some, by its name after the layer's."""
    return {
        name: n
        for name, module in network.get_submodule(layer).named_modules()
        if name and (n := sum(p.numel() for p in module.parameters()))
    }


def _numel(shape: torch.Size) -> int:
    return int(torch.Size(shape).numel())


def main() -> None:
    """Write the file."""
    rows = {model: measure(model) for model in MODELS}
    text = json.dumps(rows, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
