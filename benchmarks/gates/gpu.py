"""Training on an NVIDIA GPU: images per second, seconds of a run, and the share of what the card can do.

What the card can do is measured too: the product of two large matrices in the same number format.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch

from benchmarks.gates.plain import LAST_BLOCK, Plain
from benchmarks.gates.row import Row, Settings, seconds
from benchmarks.gates.training import EPOCHS, Bench, Size
from covidviz.catalog import MODELS

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHARE_OF_LAST_BLOCK = {"resnet18": 0.227, "vgg16": 0.030}  # of the multiplications


def rows(settings: Settings) -> Iterator[Row]:
    """(a), (b), (c) at fp32 and bf16. Nothing is measured where there is no GPU."""
    if not torch.cuda.is_available():
        yield Row("training on a GPU", why="not on this machine: no GPU that torch can use")
        return
    size = Size(settings.size(512, 4096), settings.size(128, 1024), 1, EPOCHS)
    for name in ("resnet18", "vgg16"):
        yield from on_device(settings, "cuda:0", name, size)


def on_device(
    settings: Settings, device: str, name: str, size: Size, image_size: int = 224, batch: int = 128
) -> Iterator[Row]:
    """The rows of a network on a device; apart from `rows` so that a machine without a GPU can test it."""
    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    peaks = {precision: peak_flops(device, dtype) for precision, dtype in DTYPES.items()}
    for precision, peak in peaks.items():
        yield Row(f"{card}: product of large matrices, {precision}", peak / 1e12, note="TFLOP/s, taken as the peak")
    bench = Bench(settings, name, size)
    forward = 2e9 * MODELS[name].gmac * (image_size / 224) ** 2
    for what, letter in (("head", "(a)"), ("block", "(b)"), ("all", "(c)")):
        plain = Plain(bench.data, name, what, size=image_size, batch=batch, device=device, workers=settings.workers)
        plain.epoch()
        peer = EPOCHS * seconds(plain.epoch)
        trainable = {"block": f"from:{LAST_BLOCK[name]}"}.get(what, what)
        for precision, peak in peaks.items():
            more = {"device": device, "precision": precision, "image_size": image_size, "batch_size": batch}
            times = bench.train(trainable, "fast", **{**more, "epochs": EPOCHS})
            item = f"{letter} {name}, {precision}"
            steps = statistics.median(times.calls["steps"])
            note = f"{size.train / steps:,.0f} training images/s; the plain script is fp32, one epoch times {EPOCHS}"
            yield Row(f"{item}, run of {EPOCHS} epochs", peer / times.total, times.total, peer, note=note)
            if what == "all":  # forward, gradient of the activations, gradient of the weights
                share, rate = size.train / steps * 3 * forward / peak, size.train / steps
            else:
                rate = (size.train + size.val) / times.of("features")
                share = rate * forward * (1 - SHARE_OF_LAST_BLOCK[name] * (what == "block")) / peak
            where = "training" if what == "all" else "the frozen part"
            yield Row(f"{item}, share of the peak in {where}", share, note=f"{rate:,.0f} images/s")


def peak_flops(device: str, dtype: torch.dtype, n: int | None = None) -> float:
    """Operations per second of an n x n matrix product."""
    n = n or (8192 if device.startswith("cuda") else 512)
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        for _ in range(10):
            a @ b
        _finish(device)

    product()
    return 10 * 2 * n**3 / min(seconds(product) for _ in range(3))


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
