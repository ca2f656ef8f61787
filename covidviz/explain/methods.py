"""The other CAM methods, each one function with the arguments and the answer of `covidviz.explain.cam.grad_cam`.

A is the output of the target layer, K channels of h x w, g the gradient of the logit of a class with respect to A.
All maps are cut off at 0, as their papers show them. Titles and sources stand in `covidviz.catalog.CAM_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from covidviz.explain.cam import chunks, cut_after, explaining, grad_cam

__all__ = ["METHODS", "eigen_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "score_cam"]

Method = Callable[[nn.Module, Tensor, Sequence[int], str], Tensor]

MASKS_AT_ONCE = 16  # masked images of Score-CAM in memory


def grad_cam_plus_plus(model: nn.Module, x: Tensor, classes: Sequence[int], layer: str) -> Tensor:
    """Channel weights sum over places of alpha ReLU(g), alpha = g^2 / (2 g^2 + g^3 sum of A) (eq. 10 and 19).

    The paper takes Y = exp(logit), whose derivatives are g, g^2 and g^3 times Y. Y cancels in alpha and would only
    multiply each map by a positive number of its own; it is left out, since it overflows.
    """

    def one(a: Tensor, g: Tensor) -> Tensor:
        # Divided by g^2: the same where g is not 0, and where it is, ReLU(g) is 0 too.
        below = 2 + g * a.sum((2, 3), keepdim=True)
        alpha = torch.where(below != 0, 1 / torch.where(below != 0, below, 1), 0)
        return ((alpha * g.relu()).sum((2, 3), keepdim=True) * a).sum(1)

    return _from_gradients(model, x, classes, layer, one)


def hires_cam(model: nn.Module, x: Tensor, classes: Sequence[int], layer: str) -> Tensor:
    """The sum over channels of g A (section 3.2)."""
    return _from_gradients(model, x, classes, layer, lambda a, g: (g * a).sum(1))


def layer_cam(model: nn.Module, x: Tensor, classes: Sequence[int], layer: str) -> Tensor:
    """The sum over channels of ReLU(g) A (eq. 6 to 8)."""
    return _from_gradients(model, x, classes, layer, lambda a, g: (g.relu() * a).sum(1))


def eigen_cam(model: nn.Module, x: Tensor, classes: Sequence[int], layer: str) -> Tensor:
    """A projected onto its first right singular vector, places as rows, not centred (eq. 2 and 3).

    A singular vector has no sign; that with the larger positive part is shown. Every class has the same map.
    """
    maps = []
    for a in _activations(model, x, layer):
        places = a.flatten(2).transpose(1, 2).double()  # [B, h w, K]
        # The first left singular vector times its value, from the smaller of the two products.
        values, vectors = torch.linalg.eigh(places @ places.transpose(1, 2))
        shown = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
        shown = torch.where(shown.relu().sum(1, keepdim=True) >= (-shown).relu().sum(1, keepdim=True), shown, -shown)
        maps.append(shown.float().unflatten(1, a.shape[2:]).relu())
    one = torch.cat(maps)
    return one[:, None].expand(-1, len(classes), -1, -1).contiguous()


def score_cam(model: nn.Module, x: Tensor, classes: Sequence[int], layer: str) -> Tensor:
    """Channel weights are the softmax over channels of the logit of x times the channel (algorithm 1).

    Each channel is enlarged to the image (bilinear) and stretched to 0..1 first; one that is constant masks all.
    The logit of the empty baseline image is the same for all channels and cancels in the softmax.
    """
    prefix, suffix = cut_after(model, layer)
    maps = []
    with explaining(model, x.device), torch.no_grad():
        for image in x.float().split(1):
            (a,) = _activations(model, image, layer)
            scores = torch.cat([_logits(image * mask, [*prefix, *suffix])[:, classes] for mask in _masks(a, image)])
            weights = scores.double().softmax(0).float()  # [K, C]
            maps.append(torch.einsum("kc,khw->chw", weights, a[0]).relu())
    return torch.stack(maps)


def _masks(a: Tensor, image: Tensor) -> Iterator[Tensor]:
    """[up to MASKS_AT_ONCE, 1, H, W] in 0..1, in the order of the channels of `a` [1, K, h, w]."""
    for part in a[0].unsqueeze(1).split(MASKS_AT_ONCE):
        large = F.interpolate(part, size=image.shape[2:], mode="bilinear", align_corners=False)
        low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
        yield (large - low) / torch.where(high > low, high - low, 1)


def _logits(x: Tensor, steps: Sequence[tuple[str, Callable[[Tensor], Tensor]]]) -> Tensor:
    for _, step in steps:
        x = step(x)
    return x


def _activations(model: nn.Module, x: Tensor, layer: str) -> Iterator[Tensor]:
    """A [b, K, h, w] of one chunk of images after the other."""
    prefix, _ = cut_after(model, layer)
    for chunk in chunks(x):
        with explaining(model, x.device), torch.no_grad():
            yield _logits(chunk, prefix).detach().clone()


def _from_gradients(
    model: nn.Module, x: Tensor, classes: Sequence[int], layer: str, one: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """`one` gives the map [b, h, w] of a class from A and g, both [b, K, h, w]. See `grad_cam` for the cut."""
    _, suffix = cut_after(model, layer)
    maps = []
    for a in _activations(model, x, layer):
        with explaining(model, x.device), torch.enable_grad():
            activation = a.requires_grad_()
            logits = _logits(activation.clone(), suffix)
            last = len(classes) - 1
            maps.append(
                torch.stack(
                    [
                        one(a.detach(), torch.autograd.grad(logits[:, c].sum(), activation, retain_graph=i < last)[0])
                        for i, c in enumerate(classes)
                    ],
                    dim=1,
                ).relu_()
            )
    return torch.cat(maps)


METHODS: dict[str, Method] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "hirescam": hires_cam,
    "layercam": layer_cam,
    "eigencam": eigen_cam,
    "score-cam": score_cam,
}
