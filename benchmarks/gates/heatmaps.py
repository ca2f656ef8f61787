"""Grad-CAM against pytorch-grad-cam and captum, and its pictures against matplotlib."""

from __future__ import annotations

import io
import multiprocessing
import resource
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.gates.row import Row, Settings, in_turn, missing, ratio, seconds
from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.explain.cam import grad_cam
from covidviz.explain.overlay import colourise, overlay
from covidviz.training.batches import to_input
from covidviz.training.models import build

CLASSES = ("covid19", "normal", "pneumonia")
Maps = Callable[[Tensor], Tensor]


def network(name: str) -> nn.Module:
    """From scratch, in evaluation mode."""
    values = {"data": "none", "classes": CLASSES, "model": name, "weights": "none"}
    return build(TrainConfig.parse(values), len(CLASSES), pretrained=False).eval()


def images(n: int) -> Tensor:
    """As the product shows radiographs to the network."""
    grey = torch.randint(0, 256, (n, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return to_input(grey)


def ours(model: nn.Module, name: str) -> Maps:
    """In the memory order of the product; the peers get torchvision's, as in their guides."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda x: grad_cam(model, x, range(len(CLASSES)), MODELS[name].cam_layer)


def by_captum(model: nn.Module, name: str, classes: int = len(CLASSES)) -> Maps:
    from captum.attr import LayerGradCam

    explainer = LayerGradCam(model, model.get_submodule(MODELS[name].cam_layer))
    return lambda x: torch.cat(
        [explainer.attribute(x, target=c, relu_attributions=True).detach() for c in range(classes)], dim=1
    )


def by_gradcam(model: nn.Module, name: str, classes: int = len(CLASSES)) -> Maps:
    """Its maps are enlarged to the image and stretched to 0..1, each by itself."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model.requires_grad_(True)  # it finds no gradient in a frozen network
    explainer = GradCAM(model=model, target_layers=[model.get_submodule(MODELS[name].cam_layer)])

    def call(x: Tensor) -> Tensor:
        per_class = [explainer(x, targets=[ClassifierOutputTarget(c)] * len(x)) for c in range(classes)]
        return torch.from_numpy(np.stack(per_class, axis=1))

    return call


TOOLS: dict[str, tuple[str, Callable[..., Maps]]] = {
    "pytorch-grad-cam": ("pytorch_grad_cam", by_gradcam),
    "captum": ("captum", by_captum),
}
SHORT = {"pytorch-grad-cam": "gradcam", "captum": "captum"}


def stretched(maps: Tensor) -> Tensor:
    """Raw maps as pytorch-grad-cam gives them."""
    from pytorch_grad_cam.utils.image import scale_cam_image

    per_class = [scale_cam_image(scale_cam_image(maps[:, c].numpy(), (224, 224))) for c in range(maps.shape[1])]
    return torch.from_numpy(np.stack(per_class, axis=1))


def speed(settings: Settings) -> Iterator[Row]:
    """Maps of three classes, and how far they are from the peers'."""
    cases = [("resnet18", 4)] if settings.quick else [("resnet18", 1), ("resnet18", 16), ("vgg16", 1)]
    for name, n in cases:
        model, x = network(name), images(n)
        mine = ours(model, name)
        own = mine(x)
        for tool, (module, make) in TOOLS.items():
            item = f"Grad-CAM, 3 classes, {name}, batch {n} / {tool}"
            if why := missing(module):
                yield Row(item, gate=f"cam {SHORT[tool]}", why=why)
                continue
            # Hooks of a peer stay on its network and would slow ours down.
            theirs = make(network(name), name)
            plain = x.contiguous()
            found = theirs(plain)
            calls = [partial(seconds, partial(mine, x)), partial(seconds, partial(theirs, plain))]
            pairs = [(a / n, b / n) for a, b in in_turn(calls, settings.pairs(3))]
            yield ratio(item, pairs, f"cam {SHORT[tool]}", "time per image")
            same = stretched(own) if tool == "pytorch-grad-cam" else own
            difference = float((same - found).abs().max() / found.max())
            yield Row(f"largest difference from {tool}, {name}", difference, gate="cam difference")


def memory(_: Settings) -> Iterator[Row]:
    """Peak memory above network and images, each tool in a process of its own; the peers make one class after the
    other, so they are asked for one, ours for three."""
    n = 64
    mine = _measured("covidviz", n)
    for tool, (module, _) in TOOLS.items():
        item = f"Grad-CAM memory, resnet18, batch {n} / {tool}"
        gate = f"cam memory {SHORT[tool]}"
        if why := missing(module):
            yield Row(item, gate=gate, why=why)
        else:
            theirs = _measured(tool, n)
            yield Row(item, theirs / mine, mine, theirs, "MB", gate)


def _measured(tool: str, n: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_mb, (tool, n))


def peak_mb(tool: str, n: int, name: str = "resnet18") -> float:
    """Growth of this process's peak memory in MB during one call."""
    call = ours(network(name), name) if tool == "covidviz" else TOOLS[tool][1](network(name), name, classes=1)
    call(images(1))
    x = images(n) if tool == "covidviz" else images(n).contiguous()
    before = _peak(reset=True)
    call(x)
    return max(_peak() - before, 0.001)


def _peak(*, reset: bool = False) -> float:
    """Most memory of this process so far in MB; after a reset, from what it has now on."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    if reset:  # what getrusage says begins with the peak of the process that started this one
        Path("/proc/self/clear_refs").write_text("5")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024


def pictures(settings: Settings) -> Iterator[Row]:
    """An X-ray of 224 px with its map on top, encoded: matplotlib's figure without axes, as its users save it."""
    item = "overlay and encoding, 224 px / matplotlib"
    if why := missing("matplotlib"):
        yield Row(item, gate="overlay", why=why)
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rng = np.random.default_rng(0)
    pixels, heat = rng.integers(0, 256, (28, 28), dtype=np.uint8), rng.random((7, 7), dtype=np.float32)
    image = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC)
    times = settings.size(10, 50)

    def mine() -> None:
        for _ in range(20 * times):
            overlay(image, colourise(heat, image.size)).save(io.BytesIO(), "JPEG", quality=90)

    def figure() -> None:
        large = np.asarray(Image.fromarray(heat).resize((224, 224), Image.Resampling.BICUBIC))
        for _ in range(times):
            shown, axes = plt.subplots(figsize=(2.24, 2.24), dpi=100)
            axes.imshow(np.asarray(image), cmap="gray")
            axes.imshow(large, cmap="plasma", alpha=0.5)
            axes.axis("off")
            shown.savefig(io.BytesIO(), bbox_inches="tight", pad_inches=0)
            plt.close(shown)

    mine()
    calls = [lambda: seconds(mine) / (20 * times), lambda: seconds(figure) / times]
    yield ratio(item, in_turn(calls, settings.pairs(5)), "overlay", "JPEG here, PNG there")
