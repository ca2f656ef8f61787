"""The tables: models, losses, optimizers, schedules, augmentations, CAM methods. Plain data, no torch.

A new model, loss or augmentation is one row here and one small function in `covidviz.training`; a CAM method is one
row here and one function in `covidviz.explain.methods`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AUGMENTATIONS", "CAM_METHODS", "LOSSES", "MODELS", "MODELS_OF_LAB", "OPTIMIZERS", "SCHEDULES", "TASKS",
    "CamMethod", "Choice", "Loss", "Model",
]  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A named choice with the sentence that explains it."""

    title: str
    help: str


@dataclass(frozen=True)
class Loss:
    """A loss and where it applies."""

    title: str
    help: str
    tasks: tuple[str, ...]
    focal: bool = False  # reads focal_gamma and focal_alpha
    teaching: bool = False  # faulty, kept as it was published: offered with a mark, never a default


@dataclass(frozen=True)
class CamMethod:
    """A way to draw a heat map.

    source: who described it.
    slow: it runs the network hundreds of times for each image.
    per_class: False where the map is the same for every class.
    """

    title: str
    help: str
    source: str
    slow: bool = False
    per_class: bool = True


@dataclass(frozen=True)
class Model:
    """A torchvision classification model.

    layers: the blocks a person can train, in the order the image meets them; each is (name, modules), and naming
        the block names all its modules (`conv1` brings its `bn1`).
    head: the attribute that is replaced by the new head.
    cam_layer: the step of the network whose output Grad-CAM explains, named as torchvision's feature_extraction does
        (`relu` in DenseNet is the one between `features` and the pooling; norm5 itself is not rectified yet).
    weights_file: what torchvision's `IMAGENET1K_V1` weights are called in its download cache.
    """

    title: str
    parameters_m: float
    gmac: float
    head: str
    cam_layer: str
    weights_file: str
    layers: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.layers)


def _each(*names: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, (name,)) for name in names)


_RESNET = (("conv1", ("conv1", "bn1")), *_each("layer1", "layer2", "layer3", "layer4"))
_VGG = _each(*(f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)))
_DENSE = (
    ("features.conv0", ("features.conv0", "features.norm0")),
    *(
        (f"features.denseblock{i}", (f"features.denseblock{i}", f"features.{after}"))
        for i, after in enumerate(("transition1", "transition2", "transition3", "norm5"), start=1)
    ),
)

MODELS: dict[str, Model] = {
    "resnet18": Model("ResNet-18", 11.7, 1.8, "fc", "layer4", "resnet18-f37072fd.pth", _RESNET),
    "vgg16": Model("VGG-16", 138.4, 15.5, "classifier", "features.29", "vgg16-397923af.pth", _VGG),
    "resnet50": Model("ResNet-50", 25.6, 4.1, "fc", "layer4", "resnet50-0676ba61.pth", _RESNET),
    "densenet121": Model("DenseNet-121", 8.0, 2.9, "classifier", "relu", "densenet121-a639ec97.pth", _DENSE),
    "efficientnet_b0": Model(
        "EfficientNet-B0", 5.3, 0.4, "classifier", "features.8", "efficientnet_b0_rwightman-7f5810bc.pth",
        _each(*(f"features.{i}" for i in range(9))),
    ),
    "mobilenet_v3_small": Model(
        "MobileNet-V3 small", 2.5, 0.06, "classifier", "features.12", "mobilenet_v3_small-047dcff4.pth",
        _each(*(f"features.{i}" for i in range(13))),
    ),
    "squeezenet1_1": Model(
        "SqueezeNet 1.1", 1.2, 0.35, "classifier", "features.12", "squeezenet1_1-b8a52dc0.pth",
        _each(*(f"features.{i}" for i in (0, 3, 4, 6, 7, 9, 10, 11, 12))),
    ),
}  # fmt: skip

# The lab trains a head on vectors; SqueezeNet's classifier pools by itself.
MODELS_OF_LAB = tuple(name for name in MODELS if name != "squeezenet1_1")

TASKS: dict[str, Choice] = {
    "single-label": Choice("One class per image", "The classes exclude each other (softmax)."),
    "multi-label": Choice("Several labels per image", "Each label is decided by itself (sigmoid)."),
}

LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss("Cross-entropy", "The usual loss where one class is right.", ("single-label",)),
    "bce": Loss("Binary cross-entropy", "One yes-or-no question per label.", ("multi-label",)),
    "focal": Loss(
        "Focal", "Cross-entropy that turns down what is already right (Lin et al. 2017).",
        ("single-label", "multi-label"), focal=True,
    ),
    "class_balanced": Loss(
        "Class-balanced", "Cross-entropy weighted by the effective number of images (Cui et al. 2019, beta .9999).",
        ("single-label", "multi-label"),
    ),
    "asymmetric": Loss(
        "Asymmetric", "Turns easy negatives down harder than positives (Ridnik et al. 2021; 4, 1, clip .05).",
        ("multi-label",),
    ),
    "batch_focal": Loss(
        "Batch focal (for teaching)",
        "A course report's focal loss: applied once to the mean BCE of the batch, with the logarithm of that mean. "
        "Once the BCE is below .519 (gamma 2), each step raises it again.",
        ("multi-label",), focal=True, teaching=True,
    ),
    "softmax_cross_entropy": Loss(
        "Softmax over labels (for teaching)",
        "A course report's loss: labels that can occur together compete in one softmax in training, and are then "
        "judged one by one with a sigmoid at .5.",
        ("multi-label",), teaching=True,
    ),
    "softmax_twice": Loss(
        "Softmax twice (for teaching)",
        "Cross-entropy given probabilities instead of logits: it takes the softmax of the softmax. It can't come near "
        "0, and images that are badly wrong teach nothing.",
        ("single-label",), teaching=True,
    ),
}  # fmt: skip

OPTIMIZERS: dict[str, Choice] = {
    "sgd": Choice("SGD", "Stochastic gradient descent with momentum."),
    "adam": Choice("Adam", "Adapts the step per weight; wants a smaller learning rate."),
    "adamw": Choice("AdamW", "Adam with decoupled weight decay."),
}

SCHEDULES: dict[str, Choice] = {
    "constant": Choice("Constant", "The same learning rate throughout."),
    "step": Choice("Steps", "Changes at the epochs named in lr_steps."),
    "cosine": Choice("Cosine", "Falls along half a cosine to zero."),
    "one_cycle": Choice("One cycle", "Rises to lr, then falls far below it (Smith 2018)."),
}

AUGMENTATIONS: dict[str, Choice] = {
    "none": Choice("None", "Each image as it is."),
    "flip": Choice("Flip", "Mirrored left to right half of the time."),
    "light": Choice("Light", "Flip, up to 7 degrees, 5 % shift and scale, 10 % brightness and contrast."),
    "course": Choice("Course", "As in the course's reports: random crop of 80 to 100 %, flip, up to 10 degrees."),
}

# Grad-CAM is what a run logs; the others are computed when somebody asks for them.
CAM_METHODS: dict[str, CamMethod] = {
    "grad-cam": CamMethod(
        "Grad-CAM", "Channels weighted by their mean gradient.", "Selvaraju et al. 2017, ICCV, arXiv:1610.02391",
    ),
    "grad-cam++": CamMethod(
        "Grad-CAM++", "Channels weighted by their positive gradients, small regions as much as large ones.",
        "Chattopadhay et al. 2018, WACV, arXiv:1710.11063",
    ),
    "hirescam": CamMethod(
        "HiResCAM", "Gradient times activation at each place: only what the class score really uses.",
        "Draelos and Carin 2020, arXiv:2011.08891",
    ),
    "layercam": CamMethod(
        "LayerCAM", "Activations weighted by the positive gradient at each place.",
        "Jiang et al. 2021, IEEE TIP 30, doi:10.1109/TIP.2021.3089943",
    ),
    "eigencam": CamMethod(
        "EigenCAM", "The main pattern of the activations; it does not ask about a class.",
        "Muhammad and Yeasin 2020, IJCNN, arXiv:2008.00299", per_class=False,
    ),
    "score-cam": CamMethod(
        "Score-CAM", "Channels weighted by the score of the image seen through them; no gradients.",
        "Wang et al. 2020, CVPR workshops, arXiv:1910.01279", slow=True,
    ),
}  # fmt: skip
