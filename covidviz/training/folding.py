"""BatchNorm worked into the convolution before it: the same function in evaluation mode with one pass less per layer.

Rounds otherwise than the two steps one after the other, by about 1e-6 of the output.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold", "folds"]

Step = tuple[str, Callable[[Tensor], Tensor]]


def folds(steps: Sequence[Step]) -> bool:
    """Whether there is a BatchNorm in these steps."""
    modules = (step for _, step in steps if isinstance(step, nn.Module))
    return any(isinstance(inner, nn.BatchNorm2d) for module in modules for inner in module.modules())


def fold(steps: Sequence[Step]) -> list[Step]:
    """A copy of steps of `covidviz.training.models.sequence` without the BatchNorms that follow a convolution.

    In torchvision's networks a BatchNorm registered right after a convolution is what its output goes through.

    Args:
        steps: in evaluation mode; they stay as they are.
    """
    names, calls = [name for name, _ in steps], [copy.deepcopy(step) for _, step in steps]
    for i, call in enumerate(calls):
        if isinstance(call, nn.Module):
            _fold_inside(call)
        if i and (joined := _joined(calls[i - 1], call)) is not None:
            calls[i - 1], calls[i] = joined, nn.Identity()
    return list(zip(names, calls, strict=True))


def _fold_inside(module: nn.Module) -> None:
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        _fold_inside(child)
        if before is not None and (joined := _joined(before[1], child)) is not None:
            setattr(module, before[0], joined)
            setattr(module, name, nn.Identity())
        before = name, child


def _joined(first: object, second: object) -> nn.Conv2d | None:
    if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
        return fuse_conv_bn_eval(first, second)
    return None
