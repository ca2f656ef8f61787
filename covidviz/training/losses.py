"""The losses: functions of logits that give one value per sample, in float32 whatever the network computed in.

One catalog row (`covidviz.catalog.LOSSES`) and one function each. `z` below is (2y - 1) x, so that sigmoid(z) is the
probability given to the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from covidviz.config import TrainConfig
from covidviz.evaluation.loss_curves import class_balanced_weights

__all__ = [
    "Criterion",
    "asymmetric",
    "batch_focal",
    "bce",
    "class_balanced_weights",
    "cross_entropy",
    "make_criterion",
    "sigmoid_focal",
    "softmax_cross_entropy",
    "softmax_focal",
    "softmax_twice",
]

Criterion = Callable[[Tensor, Tensor], Tensor]

BATCH_FOCAL_LOWEST = 1e-12


def cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy.

    Args:
        logits: [N, C].
        targets: one-hot 0/1, [N, C].
        weight: per class, [C]; a sample counts as much as its class.

    Returns:
        [N] float32. The mean over samples is not divided by the sum of weights.
    """
    truth = targets.argmax(dim=1)
    loss = F.cross_entropy(_wide(logits), truth, reduction="none")
    return loss if weight is None else loss * weight[truth]


def bce(logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None, neg_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, averaged over the labels.

    Args:
        logits: [N, C].
        targets: 0/1, [N, C].
        pos_weight, neg_weight: per label, [C]: what a positive and a negative count; default 1.

    Returns:
        [N] float32.
    """
    loss = -F.logsigmoid(_z(logits, targets))
    if pos_weight is not None or neg_weight is not None:
        one = loss.new_ones(loss.shape[1])
        positive, negative = one if pos_weight is None else pos_weight, one if neg_weight is None else neg_weight
        loss = loss * torch.where(targets > 0, positive, negative)
    return loss.mean(dim=1)


def sigmoid_focal(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """Focal loss per label (Lin et al. 2017), averaged over the labels: -alpha_t (1 - p_t)^gamma log p_t.

    (1 - p_t)^gamma is written as exp(gamma logsigmoid(-z)): value and gradient stay finite for every gamma >= 0, also
    where 1 - p_t underflows and a power's gradient would be 0 x infinity.

    Args:
        logits: [N, C].
        targets: 0/1, [N, C].
        gamma: >= 0; 0 gives `bce`.
        alpha: 0..1, weight of positives (negatives get 1 - alpha); None: no weighting.

    Returns:
        [N] float32.
    """
    z = _z(logits, targets)
    loss = -torch.exp(gamma * F.logsigmoid(-z)) * F.logsigmoid(z)
    if alpha is not None:
        loss = loss * (1 - alpha + (2 * alpha - 1) * (targets > 0))
    return loss.mean(dim=1)


def softmax_focal(
    logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None, positive: int | None = None
) -> Tensor:
    """Focal loss with p_t from a softmax: -alpha_t (1 - p_t)^gamma log p_t.

    log(1 - p_t) is taken from the other classes' logits, so it stays finite where p_t rounds to 1.

    Args:
        logits: [N, C], C >= 2.
        targets: one-hot 0/1, [N, C].
        gamma: >= 0; 0 gives `cross_entropy`.
        alpha: 0..1, weight of samples of class `positive` (the others get 1 - alpha); None: no weighting.
        positive: a class index, needed with alpha.

    Returns:
        [N] float32.
    """
    x = _wide(logits)
    truth = targets.argmax(dim=1, keepdim=True)
    total = x.logsumexp(dim=1)
    log_p = (x.gather(1, truth).squeeze(1) - total).clamp(max=0)
    others = x.scatter(1, truth, -torch.inf).logsumexp(dim=1)
    loss = -torch.exp(gamma * (others - total).clamp(max=0)) * log_p
    if alpha is not None:
        loss = loss * (1 - alpha + (2 * alpha - 1) * (truth.squeeze(1) == positive))
    return loss


def asymmetric(
    logits: Tensor, targets: Tensor, gamma_neg: float = 4.0, gamma_pos: float = 1.0, clip: float = 0.05
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021), averaged over the labels.

    Positives: -(1 - p)^gamma_pos log p. Negatives: -q^gamma_neg log(1 - q) with q = max(p - clip, 0), so a negative
    whose p is below `clip` counts nothing.

    Args:
        logits: [N, C].
        targets: 0/1, [N, C].

    Returns:
        [N] float32.
    """
    x = _wide(logits)
    positive = -torch.exp(gamma_pos * F.logsigmoid(-x)) * F.logsigmoid(x)
    q = (x.sigmoid() - clip).clamp(min=0)
    negative = -(q**gamma_neg) * torch.log1p(-q)
    return torch.where(targets > 0, positive, negative).mean(dim=1)


def batch_focal(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """FAULTY, for teaching: alpha (1 - exp(-B))^gamma ln B, where B is the mean `bce` of the batch.

    So a course report ("msds19043") understood focal loss. It is negative where B < 1, and its slope changes sign where
    2 B ln B = 1 - exp(B) (gamma 2: B = .519): below, a step that lowers it raises the BCE.

    Kept as it was but for two things that would end a training: B is at least 1e-12 (ln 0 is infinite), and 1 - exp(-B)
    is computed as -expm1(-B) (the difference is 0 for B < 6e-8).

    Args:
        logits: [N, C].
        targets: 0/1, [N, C].
        gamma: >= 0.
        alpha: 0..1, scales everything; None: 1.

    Returns:
        [N] float32, the same value for every sample: it is one of the batch, and depends on who else is in it.
    """
    mean = bce(logits, targets).mean().clamp(min=BATCH_FOCAL_LOWEST)
    value = (-torch.expm1(-mean)) ** gamma * mean.log()
    return (value if alpha is None else alpha * value).expand(len(logits))


def softmax_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """FAULTY, for teaching: minus the sum of log softmax over the labels that a sample has.

    So the first two networks of a course report ("bscs17001") were trained, with labels that do occur together, and
    then judged by sigmoid > .5, which this loss knows nothing of: adding the same to all logits does not change it.

    Args:
        logits: [N, C].
        targets: 0/1, [N, C]; a sample without any label counts nothing.

    Returns:
        [N] float32.
    """
    wide = _wide(logits)
    return F.cross_entropy(wide, targets.to(wide.dtype), reduction="none")


def softmax_twice(logits: Tensor, targets: Tensor) -> Tensor:
    """FAULTY, for teaching: `cross_entropy` of the softmax of the logits, as where a network ends in a softmax.

    Bounded: between log(1 + (C - 1) / e) where the truth has probability 1 and log(C - 1 + e) where another class has
    it, and flat at both ends.

    Args:
        logits: [N, C].
        targets: one-hot 0/1, [N, C].

    Returns:
        [N] float32.
    """
    return cross_entropy(_wide(logits).softmax(dim=1), targets)


def make_criterion(config: TrainConfig, labels: ArrayLike, device: torch.device | str = "cpu") -> Criterion:
    """The loss of a resolved config, its weights taken from the training labels.

    Args:
        labels: 0/1, [N, C], of the training split.
        device: where logits and targets will be.

    Returns:
        A function (logits [N, C], targets 0/1 [N, C]) -> loss per sample, float32 [N]: one of those above, or a
        `partial` of it (`gradients` tells them by that).
    """
    counts = np.asarray(labels, dtype=np.float64).sum(axis=0)
    total = len(np.asarray(labels))
    single = config.task == "single-label"
    loss, gamma, alpha = config.loss, config.focal_gamma, config.focal_alpha

    def tensor(values: ArrayLike) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)

    if loss == "cross_entropy":
        # inverse frequency, 1 on average over the training images
        weight = tensor(total / np.maximum(counts, 1) / len(counts)) if config.pos_weight else None
        return partial(cross_entropy, weight=weight)
    if loss == "bce":
        # a label without positives keeps weight 1: there is nothing it could weigh
        ratio = tensor(np.where(counts > 0, (total - counts) / np.maximum(counts, 1), 1)) if config.pos_weight else None
        return partial(bce, pos_weight=ratio)
    if loss == "focal" and single:
        positive = config.classes.index(config.critical_class) if config.critical_class else None
        return partial(softmax_focal, gamma=gamma, alpha=alpha, positive=positive)
    if loss == "focal":
        return partial(sigmoid_focal, gamma=gamma, alpha=alpha)
    if loss == "class_balanced" and single:
        balanced = tensor(class_balanced_weights(counts))
        return partial(cross_entropy, weight=balanced)
    if loss == "class_balanced":
        # each label is a two-class question of its own
        both = np.stack([class_balanced_weights(pair) for pair in zip(counts, total - counts, strict=True)])
        positives, negatives = tensor(both[:, 0]), tensor(both[:, 1])
        return partial(bce, pos_weight=positives, neg_weight=negatives)
    if loss == "asymmetric":
        return asymmetric
    if loss == "batch_focal":
        return partial(batch_focal, gamma=gamma, alpha=alpha)
    if loss == "softmax_cross_entropy":
        return softmax_cross_entropy
    if loss == "softmax_twice":
        return softmax_twice
    raise ValueError(f"loss {loss!r} is not resolved for task {config.task}")


def _wide(logits: Tensor) -> Tensor:
    """bf16 and fp16 are too coarse for logarithms of probabilities."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _z(logits: Tensor, targets: Tensor) -> Tensor:
    x = _wide(logits)
    return torch.where(targets > 0, x, -x)
