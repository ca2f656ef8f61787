"""Steps of SGD on a head alone, without autograd: the same numbers (1e-6) in about a third of the time.

The input of a head on cached features is a matrix, so a step is two small matrix products forward, two backward and
the update, which is part of the last product: v = momentum v + gradient in one call. Autograd, the optimizer and
their bookkeeping take longer than that arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from covidviz.training.gradients import gradient_of
from covidviz.training.losses import Criterion

__all__ = ["FusedHead", "draw_masks", "fits"]

Masks = Sequence[Tensor | None]


def fits(head: object, optimizer: torch.optim.Optimizer) -> bool:
    """Whether `FusedHead` can train this head: linear layers with ReLU and dropout between them, and plain SGD."""
    if not isinstance(head, nn.Sequential) or not isinstance(optimizer, torch.optim.SGD):
        return False
    known = all(isinstance(module, nn.Linear | nn.ReLU | nn.Dropout) for module in head)
    return known and not any(group["nesterov"] or group["dampening"] or group["maximize"]
                             for group in optimizer.param_groups)  # fmt: skip


def draw_masks(head: nn.Sequential, rows: int, generator: torch.Generator | None = None) -> list[Tensor | None]:
    """What dropout multiplies each hidden layer's [rows, width] with: drawn as `nn.Dropout` does, in the same order.

    Args:
        generator: default: torch's own, as `nn.Dropout` uses.
    """
    widths = [module.out_features for module in head if isinstance(module, nn.Linear)][:-1]
    drops = [module.p for module in head if isinstance(module, nn.Dropout)]
    return [
        torch.empty(rows, width).bernoulli_(1 - p, generator=generator).div_(1 - p) if p else None
        for width, p in zip(widths, drops, strict=True)
    ]


class FusedHead:
    """A head in training; its weights and the optimizer's momentum change in place, so both can be saved as ever."""

    def __init__(self, head: nn.Sequential, criterion: Criterion, optimizer: torch.optim.SGD) -> None:
        """
        Args:
            head: one that `fits`, on the CPU in float32.
            criterion: of `covidviz.training.losses.make_criterion`.
            optimizer: over the head's parameters, in one group.
        """
        self.head = head
        self.layers = [(m.weight.data, m.bias.data, m.weight, m.bias) for m in head if isinstance(m, nn.Linear)]
        self.gradient: Callable[[Tensor, Tensor], Tensor] = gradient_of(criterion)
        self.optimizer = optimizer
        self.group = optimizer.param_groups[0]

    @torch.no_grad()
    def step(self, x: Tensor, targets: Tensor, masks: Masks) -> Tensor:
        """One step on the mean loss of a batch.

        Args:
            x: features, float32 [B, D].
            targets: 0/1, float32 [B, C].
            masks: of `draw_masks`.

        Returns:
            The logits [B, C] before the step.
        """
        inputs, h = [x], x
        for (weight, bias, *_), mask in zip(self.layers[:-1], masks, strict=True):
            h = torch.addmm(bias, h, weight.t()).relu_()
            if mask is not None:
                h.mul_(mask)
            inputs.append(h)
        weight, bias, *_ = self.layers[-1]
        logits = torch.addmm(bias, h, weight.t())
        back = self.gradient(logits, targets).div_(len(x))
        for i in range(len(self.layers) - 1, -1, -1):
            weight, bias, *parameters = self.layers[i]
            by_weight = back
            if i:
                back = torch.mm(back, weight)
                if (mask := masks[i - 1]) is not None:
                    back.mul_(mask)
                # Nothing passes where ReLU or the mask gave 0. One call instead of a comparison and a product.
                back = torch.ops.aten.threshold_backward(back, inputs[i], 0)
            self._update(parameters[0], weight, by_weight.t(), inputs[i])
            self._update(parameters[1], bias, by_weight)
        return logits

    def _update(self, parameter: Tensor, value: Tensor, left: Tensor, right: Tensor | None = None) -> None:
        """`value` -= lr v, v = momentum v + gradient, and the gradient is left @ right, or the sum of left's rows."""
        lr, momentum, decay = self.group["lr"], self.group["momentum"], self.group["weight_decay"]
        state = self.optimizer.state[parameter]
        v = state.get("momentum_buffer")
        if v is None:
            v = torch.zeros_like(value)
            if momentum:
                state["momentum_buffer"] = v
        if right is not None:
            torch.addmm(v, left, right, beta=momentum, out=v)
        else:
            v.mul_(momentum).add_(left.sum(dim=0))
        if decay:
            v.add_(value, alpha=decay)
        value.add_(v, alpha=-lr)
