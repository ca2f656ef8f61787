"""The networks: torchvision's, with a new head, and exactly the layers trainable that the config names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from threading import RLock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.training.weights import StartingWeights, load_weights

__all__ = [
    "build",
    "changing_names",
    "drawing",
    "freeze",
    "make_head",
    "parameter_counts",
    "sequence",
    "train_mode",
    "trainable_parameters",
]

# The compute worker builds a network in one thread and a head in another, and all draw from the same generator.
_DRAWING = RLock()


def build(
    config: TrainConfig, n_classes: int, *, pretrained: bool = True, start: StartingWeights | None = None
) -> nn.Module:
    """The network of `config` on the CPU, in float32, its head new and its frozen layers frozen.

    The same seed gives the same head whatever the backbone starts from.

    Args:
        n_classes: outputs, one logit each.
        pretrained: False starts from scratch even where the config names weights.
        start: weights read before; default: `config.weights` is read here.

    Returns:
        A module from float32 [B, 3, H, W] (see `batches.to_input`) to logits [B, n_classes].

    Raises:
        WeightsError: the starting weights are missing, unsafe or do not fit.
        ConfigError: `config.trainable` names no module of the network.
    """
    if pretrained and start is None and config.weights != "none":
        start = load_weights(config.model, config.weights)
    with _DRAWING, torch.random.fork_rng(devices=[]):
        if pretrained and start is not None:
            with torch.device("meta"):  # nothing is drawn or allocated for layers that are filled or replaced anyway
                model = get_model(config.model)
        else:
            torch.default_generator.manual_seed(config.seed)
            model = get_model(config.model)
        _replace_head(model, config, n_classes)
    if pretrained and start is not None:
        copies = {name: tensor.clone() for name, tensor in start.tensors.items()}  # `start` may serve a second model
        model.load_state_dict(copies, strict=False, assign=True)
    freeze(model, config)
    return model


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """The CPU's default generator for this thread alone, seeded, and afterwards as it was."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def make_head(config: TrainConfig, features: int, n_classes: int) -> nn.Sequential:
    """A new head for that many features, on the CPU. The same seed gives the same head whatever is before it."""
    layers: list[nn.Module] = []
    with drawing(config.seed):
        for width_in, width in pairwise((features, *config.head)):
            layers += [nn.Linear(width_in, width), nn.ReLU(), nn.Dropout(config.dropout)]
        layers.append(nn.Linear(config.head[-1] if config.head else features, n_classes))
    return nn.Sequential(*layers)


def _replace_head(model: nn.Module, config: TrainConfig, n_classes: int) -> None:
    head = getattr(model, MODELS[config.model].head)
    before: list[nn.Module] = []
    if config.model == "squeezenet1_1":  # its classifier is a convolution that pools by itself
        before = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        features = next(m for m in head if isinstance(m, nn.Conv2d)).in_channels
    else:
        features = next(m for m in head.modules() if isinstance(m, nn.Linear)).in_features
    new = make_head(config, features, n_classes)
    setattr(model, MODELS[config.model].head, nn.Sequential(*before, *new) if before else new)


def sequence(model: nn.Module) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    """The network as steps in forward order: running them all on x equals `model(x)`.

    Names are module names, so a catalog layer or CAM layer is one of them; `flatten` and `relu` stand for what the
    network computes without a module. The last step is the head.
    """
    children = dict(model.named_children())
    if "layer4" in children:  # ResNet
        steps: list[tuple[str, Callable[[Tensor], Tensor]]] = list(children.items())
    else:
        steps = [(f"features.{name}", module) for name, module in model.get_submodule("features").named_children()]
        if "avgpool" in children:
            steps.append(("avgpool", children["avgpool"]))
        elif "denseblock1" in dict(model.get_submodule("features").named_children()):
            steps += [("relu", F.relu), ("avgpool", _average)]
        steps.append(("classifier", children["classifier"]))
    return [*steps[:-1], ("flatten", _flatten), steps[-1]] if not _flattens(steps[-1][1]) else steps


def _average(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (1, 1))


def _flatten(x: Tensor) -> Tensor:
    return torch.flatten(x, 1)


def _flattens(head: object) -> bool:
    return isinstance(head, nn.Sequential) and any(isinstance(m, nn.Flatten) for m in head)


def freeze(model: nn.Module, config: TrainConfig) -> None:
    """Let only the head and the layers of `config.trainable` learn. Names are those after the head was replaced.

    A catalog layer brings its modules (`conv1` its `bn1`); an exact inner module (`layer4.1.conv2`) may be named too.

    Raises:
        ConfigError: a name is no module with parameters; says which are accepted.
    """
    row = MODELS[config.model]
    modules = dict(row.layers)
    model.requires_grad_(config.trainable == "all")
    model.get_submodule(row.head).requires_grad_(True)
    for name in config.trainable_layers:
        for inner in modules.get(name, (name,)):
            module = dict(model.named_modules()).get(inner)
            if module is None or next(module.parameters(), None) is None:
                raise ConfigError(_unknown(model, config, name))
            module.requires_grad_(True)


def _unknown(model: nn.Module, config: TrainConfig, name: str) -> str:
    layers = MODELS[config.model].layer_names
    layer = max((n for n in layers if name.startswith(f"{n}.")), key=len, default=None)
    inner = ""
    if layer is not None:
        below = model.get_submodule(layer).named_modules(prefix=layer)
        names = [n for n, m in below if n != layer and next(m.parameters(), None) is not None]
        inner = f", and inside {layer}: {', '.join(names)}" if names else ""
    return f"trainable: {config.model} has no layer {name!r} that can learn, accepted: {', '.join(layers)}{inner}"


def train_mode(model: nn.Module) -> None:
    """`model.train()`, but what is frozen stays in evaluation mode.

    Without this the running statistics of a frozen BatchNorm would still move, and the dropout and stochastic depth
    of frozen blocks would still make noise.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Name and tensor of every parameter that learns, in the order of the network."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def changing_names(model: nn.Module) -> list[str]:
    """The entries of `model.state_dict()` that training may change: what learns, and the statistics beside it."""
    names = {name for name, _ in trainable_parameters(model)}
    for prefix, module in model.named_modules():
        if any(p.requires_grad for p in module.parameters(recurse=False)):
            names |= {f"{prefix}.{name}" for name, _ in module.named_buffers(recurse=False)}
    return [name for name in model.state_dict() if name in names]


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters."""
    return sum(p.numel() for _, p in trainable_parameters(model)), sum(p.numel() for p in model.parameters())
