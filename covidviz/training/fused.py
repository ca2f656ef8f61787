"""Steps of SGD on a head alone, without autograd: the same numbers (1e-6) in about a third of the time.

The input of a head on cached features is a matrix, so a step is two small matrix products forward, two backward and
the update, which is part of the last product: v = momentum v + gradient in one call. Autograd, the optimizer and
their bookkeeping take longer than that arithmetic. Of the rest each call counts, however small its work: between two
products of half a megabyte its code has left the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from covidviz.training.gradients import gradient_of
from covidviz.training.losses import Criterion

__all__ = ["FusedHead", "draw_masks", "fits", "one_thread"]

Masks = Sequence[Tensor | None]

ALIGNED = 16  # columns of float32 in a cache line


def fits(head: object, optimizer: torch.optim.Optimizer) -> bool:
    """Whether `FusedHead` can train this head: linear layers with ReLU and dropout between them, and plain SGD."""
    if not isinstance(head, nn.Sequential) or not isinstance(optimizer, torch.optim.SGD):
        return False
    known = all(isinstance(module, nn.Linear | nn.ReLU | nn.Dropout) for module in head)
    return known and not any(group["nesterov"] or group["dampening"] or group["maximize"]
                             for group in optimizer.param_groups)  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """The products of a head's step are too small to be shared: waking another thread takes longer than they do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def draw_masks(head: nn.Sequential, sizes: Sequence[int], generator: torch.Generator | None = None) -> list[Masks]:
    """What dropout multiplies each hidden layer with: drawn as `nn.Dropout` does, in the same order.

    Args:
        sizes: of the batches.
        generator: default: torch's own, as `nn.Dropout` uses.

    Returns:
        Per batch and hidden layer [rows, width]; None where nothing is dropped.
    """
    widths = [module.out_features for module in head if isinstance(module, nn.Linear)][:-1]
    drops = [module.p for module in head if isinstance(module, nn.Dropout)]
    layers = [(p, torch.empty(sum(sizes), width)) for width, p in zip(widths, drops, strict=True)]
    parts = [(p, whole.split(list(sizes))) for p, whole in layers]
    masks: list[Masks] = [
        [part[i].bernoulli_(1 - p, generator=generator) if p else None for p, part in parts] for i in range(len(sizes))
    ]
    for p, whole in layers:
        if p:
            whole.div_(1 - p)
    return masks


class _Layer(NamedTuple):
    """Views of one layer's matrix [out, K], and of its velocity: transposed whole, and the weight [out, in] alone."""

    transposed: Tensor
    weight: Tensor
    velocity: Tensor


class _Input(NamedTuple):
    """What goes into a layer: [n, K] with a 1 behind the values, and these alone [n, in]."""

    whole: Tensor
    values: Tensor


class FusedHead:
    """A head in training; its weights and the optimizer's momentum change in place, so both can be saved as ever.

    They are made views of two vectors, in which each layer is a matrix [out, K] of its weight and then its bias, as
    each input carries a 1 behind its values: one product per layer gives both gradients, and one addition is the step.
    What was taken of `head.state_dict()` before is no longer what is trained.
    """

    def __init__(self, head: nn.Sequential, criterion: Criterion, optimizer: torch.optim.SGD) -> None:
        """
        Args:
            head: one that `fits`, on the CPU in float32.
            criterion: of `covidviz.training.losses.make_criterion`.
            optimizer: over the head's parameters, in one group.
        """
        self.head = head
        self.gradient: Callable[[Tensor, Tensor], Tensor] = gradient_of(criterion)
        self.group = optimizer.param_groups[0]
        linear = [module for module in head if isinstance(module, nn.Linear)]
        shapes = [(module.out_features, -(-(module.in_features + 1) // ALIGNED) * ALIGNED) for module in linear]
        sizes = [rows * columns for rows, columns in shapes]
        self._values, self._velocity = torch.zeros(sum(sizes)), torch.zeros(sum(sizes))
        self._layers: list[_Layer] = []
        parts = zip(linear, shapes, self._values.split(sizes), self._velocity.split(sizes), strict=True)
        for module, shape, flat, flat_velocity in parts:
            matrix, velocity, n = flat.view(shape), flat_velocity.view(shape), module.in_features
            for parameter, at in ((module.weight, slice(n)), (module.bias, n)):
                matrix[:, at] = parameter.data
                parameter.data = matrix[:, at]
                if self.group["momentum"]:
                    state = optimizer.state[parameter]
                    if (before := state.get("momentum_buffer")) is not None:
                        velocity[:, at] = before
                    state["momentum_buffer"] = velocity[:, at]
            self._layers.append(_Layer(matrix.t(), matrix[:, :n], velocity))
        self._inputs: dict[int, list[_Input]] = {}

    def step(self, x: Tensor, targets: Tensor, masks: Masks, rows: Tensor | None = None) -> Tensor:
        """One step on the mean loss of a batch.

        Args:
            x: features, float32 [B, D]; with `rows`, those of all samples [N, D].
            targets: 0/1, float32 [B, C].
            masks: one of `draw_masks`.
            rows: which samples of `x` are the batch.

        Returns:
            The logits [B, C] before the step.
        """
        n, momentum = len(targets), self.group["momentum"]
        inputs = self._inputs.get(n) or self._make_inputs(n)
        if rows is None:
            inputs[0].values.copy_(x)
        else:
            torch.index_select(x, 0, rows, out=inputs[0].values)
        passing = []
        for i, mask in enumerate(masks):
            z = torch.mm(inputs[i].whole, self._layers[i].transposed)
            # What dropout lets through where ReLU does too: of use in both directions.
            passing.append(torch.ops.aten.threshold_backward(torch.ones_like(z) if mask is None else mask, z, 0))
            torch.mul(z, passing[i], out=inputs[i + 1].values)
        logits = torch.mm(inputs[-1].whole, self._layers[-1].transposed)
        back = self.gradient(logits, targets)
        for i in range(len(self._layers) - 1, -1, -1):
            layer, by_output = self._layers[i], back
            if i:
                back = torch.mm(back, layer.weight).mul_(passing[i - 1])
            torch.addmm(layer.velocity, by_output.t(), inputs[i].whole, beta=momentum, alpha=1 / n, out=layer.velocity)
        if decay := self.group["weight_decay"]:
            self._velocity.add_(self._values, alpha=decay)
        self._values.add_(self._velocity, alpha=-self.group["lr"])
        return logits

    def _make_inputs(self, n: int) -> list[_Input]:
        """For n samples what goes into each layer."""
        self._inputs[n] = made = []
        for layer in self._layers:
            whole, width = torch.zeros(n, len(layer.transposed)), layer.weight.shape[1]
            whole[:, width] = 1
            made.append(_Input(whole, whole[:, :width]))
        return made
