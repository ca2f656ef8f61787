"""The derivatives of the losses in closed form, for steps that are too small for autograd's overhead.

One function for each loss of `covidviz.training.losses`, with its arguments. Below z is (2y - 1) x, p the probability
given to the truth and q = 1 - p.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from covidviz.training import losses
from covidviz.training.losses import Criterion

__all__ = ["gradient_of"]

Gradient = Callable[[Tensor, Tensor], Tensor]


def gradient_of(criterion: Criterion) -> Gradient:
    """The derivative of a loss of `make_criterion` by the logits: float32 [N, C] for logits and targets [N, C]."""
    if isinstance(criterion, partial):
        return partial(_GRADIENTS[criterion.func], *criterion.args, **criterion.keywords)
    return _GRADIENTS[criterion]


def _cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    out = logits.softmax(dim=1).sub_(targets)
    return out if weight is None else out.mul_((targets @ weight).unsqueeze(1))


def _bce(logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None, neg_weight: Tensor | None = None) -> Tensor:
    out = logits.sigmoid().sub_(targets)
    if pos_weight is not None or neg_weight is not None:
        one = out.new_ones(out.shape[1])
        positive, negative = one if pos_weight is None else pos_weight, one if neg_weight is None else neg_weight
        out = out * torch.where(targets > 0, positive, negative)
    return out / out.shape[1]


def _sigmoid_focal(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """(2y - 1) alpha_t q^gamma (gamma p log p - q)."""
    sign = 2 * targets - 1
    z = sign * logits
    out = sign * _focal_by_z(z, gamma)
    if alpha is not None:
        out = out * (1 - alpha + (2 * alpha - 1) * targets)
    return out / out.shape[1]


def _focal_by_z(z: Tensor, gamma: float) -> Tensor:
    log_p, log_q = F.logsigmoid(z), F.logsigmoid(-z)
    return torch.exp(gamma * log_q) * (gamma * log_p.exp() * log_p - log_q.exp())


def _softmax_focal(
    logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None, positive: int | None = None
) -> Tensor:
    """alpha_t q^gamma (gamma p log p / q - 1) (y - softmax); log p / q goes to -1 where q vanishes."""
    log = logits.log_softmax(dim=1)
    log_p = (log * targets).sum(dim=1, keepdim=True)
    q = log.exp().mul_(1 - targets).sum(dim=1, keepdim=True)  # from the others: exact where p rounds to 1
    ratio = torch.where(q > 0, log_p / q.clamp(min=1e-38), -1.0)
    factor = q.pow(gamma) * (gamma * log_p.exp() * ratio - 1)
    if alpha is not None:
        factor = factor * (1 - alpha + (2 * alpha - 1) * targets[:, [positive]])
    return factor * (targets - log.exp())


def _asymmetric(
    logits: Tensor, targets: Tensor, gamma_neg: float = 4.0, gamma_pos: float = 1.0, clip: float = 0.05
) -> Tensor:
    p = logits.sigmoid()
    q = (p - clip).clamp_(min=0)
    by_q = q**gamma_neg / (1 - q) - gamma_neg * q ** (gamma_neg - 1) * torch.log1p(-q)
    negative = torch.where(p > clip, by_q * p * (1 - p), 0.0)
    return torch.where(targets > 0, _focal_by_z(logits, gamma_pos), negative) / p.shape[1]


def _batch_focal(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """The loss of each sample is that of the batch, so their sum has the slope F'(B) for each sample's BCE."""
    mean = losses.bce(logits, targets).mean()
    if mean < losses.BATCH_FOCAL_LOWEST:
        return torch.zeros_like(logits)
    q = -torch.expm1(-mean)
    slope = gamma * q ** (gamma - 1) * (1 - q) * mean.log() + q**gamma / mean
    return _bce(logits, targets) * (slope if alpha is None else alpha * slope)


def _softmax_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.softmax(dim=1) * targets.sum(dim=1, keepdim=True) - targets


def _softmax_twice(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits.softmax(dim=1)
    outer = p.softmax(dim=1) - targets
    return p * (outer - (p * outer).sum(dim=1, keepdim=True))


_GRADIENTS: dict[Callable[..., Tensor], Callable[..., Tensor]] = {
    losses.cross_entropy: _cross_entropy,
    losses.bce: _bce,
    losses.sigmoid_focal: _sigmoid_focal,
    losses.softmax_focal: _softmax_focal,
    losses.asymmetric: _asymmetric,
    losses.batch_focal: _batch_focal,
    losses.softmax_cross_entropy: _softmax_cross_entropy,
    losses.softmax_twice: _softmax_twice,
}
