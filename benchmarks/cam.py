"""Grad-CAM of three classes: time and memory of covidviz and of captum's LayerGradCam on the same network and images.

python -m benchmarks.cam --models resnet18 vgg16 --pairs 5
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from benchmarks.table import machine, markdown
from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.explain.cam import grad_cam
from covidviz.training.batches import to_input
from covidviz.training.models import build

CLASSES = ("covid19", "normal", "pneumonia")


def network(name: str) -> nn.Module:
    values = {"data": "none", "classes": CLASSES, "model": name, "weights": "none"}
    return build(TrainConfig.parse(values), len(CLASSES), pretrained=False).eval()


def ours(model: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: grad_cam(model, x, range(len(CLASSES)), MODELS[name].cam_layer)


def captum(model: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    explainer = LayerGradCam(model, model.get_submodule(MODELS[name].cam_layer))
    return lambda x: torch.cat(
        [explainer.attribute(x, target=c, relu_attributions=True).detach() for c in range(len(CLASSES))], dim=1
    )


TOOLS = {"covidviz": ours, "captum": captum}


def images(n: int) -> Tensor:
    """As the product shows radiographs to the network."""
    grey = torch.randint(0, 256, (n, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return to_input(grey)


def seconds(call: Callable[[Tensor], Tensor], x: Tensor) -> float:
    start = time.perf_counter()
    call(x)
    return time.perf_counter() - start


def peak_mb(tool: str, name: str, n: int) -> float:
    """Memory one call needs above the model and the images, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_mb, (tool, name, n))


def _peak_mb(tool: str, name: str, n: int) -> float:
    import resource

    call = TOOLS[tool](network(name), name)
    call(images(1))
    x = images(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call(x)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["resnet18"], choices=[n for n in MODELS if n != "densenet121"])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--pairs", type=int, default=5, help="interleaved repetitions")
    parser.add_argument("--memory-batch", type=int, default=64, help="0: no memory measurement")
    args = parser.parse_args()
    rows = []
    for name in args.models:
        model = network(name)
        calls = {tool: make(model, name) for tool, make in TOOLS.items()}
        for n in args.batches:
            x = images(n)
            mine, theirs = (call(x) for call in calls.values())
            difference = float((mine - theirs).abs().max() / theirs.max())
            pairs = [tuple(seconds(call, x) for call in calls.values()) for _ in range(args.pairs)]
            a, b = (1000 * statistics.median(times) / n for times in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            rows.append((name, n, f"{a:.0f}", f"{b:.0f}", f"{ratio:.1f}", f"{difference:.0e}"))
    print(f"{machine()}; 224 px, 3 classes, fp32\n")
    print(markdown(("model", "batch", "covidviz ms/image", "captum ms/image", "ratio", "largest difference"), rows))
    if args.memory_batch:
        memory = [
            (name, args.memory_batch, *(f"{peak_mb(tool, name, args.memory_batch):.0f} MB" for tool in TOOLS))
            for name in args.models
        ]
        print("\n" + markdown(("model", "batch", "covidviz peak", "captum peak"), memory))


if __name__ == "__main__":
    main()
