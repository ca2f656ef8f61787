from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import ConfigError
from covidviz.explain import cam
from covidviz.explain.cam import grad_cam, log_cams
from covidviz.training.models import build, freeze, sequence

CLASSES = ("covid19", "normal", "pneumonia")


def config(model: str = "resnet18", **changes: object) -> TrainConfig:
    values = {"data": "x", "classes": CLASSES, "model": model, "weights": "none", "head": "8", **changes}
    return TrainConfig.parse(values).resolve(CLASSES)


def network(model: str = "resnet18", **changes: object) -> nn.Module:
    torch.manual_seed(0)
    net = build(config(model, **changes), 3, pretrained=False)
    for module in net.modules():  # running statistics as after some training, so that eval differs from train mode
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@cache
def explained(model: str) -> nn.Module:
    """One frozen network per architecture, shared by tests that only read it."""
    net = network(model, head="64")
    freeze(net, config(model))
    return net


def batch(n: int = 3, size: int = 64) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    net = network()
    freeze(net, config())
    return net


class ReluAfter(nn.Module):
    """DenseNet with the functional ReLU before pooling made a module, for captum to look at."""

    def __init__(self, densenet: nn.Module) -> None:
        super().__init__()
        self.features, self.relu, self.classifier = densenet.features, nn.ReLU(), densenet.classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.relu(self.features(x)).mean((2, 3)))


@pytest.mark.parametrize("name", MODELS)
def test_equals_captum(name: str):
    model, x = explained(name), batch(2)
    ours = grad_cam(model, x, range(3), MODELS[name].cam_layer)
    if name == "densenet121":
        reference: nn.Module = ReluAfter(model)
        layer = reference.relu
    else:
        reference, layer = model, model.get_submodule(MODELS[name].cam_layer)
    for c in range(3):
        # captum needs a gradient from somewhere; a frozen backbone has none but that of the input.
        theirs = LayerGradCam(reference, layer).attribute(x.clone(), target=c, relu_attributions=True)
        assert theirs.max() > 0 or ours[:, c].max() == 0
        torch.testing.assert_close(
            ours[:, c], theirs[:, 0].detach(), rtol=2e-5, atol=2e-5 * float(theirs.detach().max())
        )
    assert ours.max() > 0


@pytest.mark.parametrize("name", MODELS)
def test_the_catalog_names_a_layer_on_a_grid_after_which_nothing_is_negative_for_relu_networks(name: str):
    model, x = explained(name), batch(1)
    steps = sequence(model)
    with torch.no_grad():
        for step_name, step in steps:
            x = step(x)
            if step_name == MODELS[name].cam_layer:
                break
        else:
            pytest.fail(f"{MODELS[name].cam_layer} is no step")
    assert x.dim() == 4
    assert x.shape[2] * x.shape[3] >= 4
    if name not in ("efficientnet_b0", "mobilenet_v3_small"):  # SiLU and Hardswish go below 0
        assert x.min() >= 0


def snapshot(model: nn.Module) -> dict[str, object]:
    return {
        "train flags": [module.training for module in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grad": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "values": [t.clone() for t in model.state_dict().values()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), len(m._backward_pre_hooks))
            for m in model.modules()
        ],
    }


def assert_untouched(before: dict[str, object], model: nn.Module) -> None:
    after = snapshot(model)
    for what in ("train flags", "requires_grad", "hooks"):
        assert before[what] == after[what], what
    assert [g is None for g in before["grad"]] == [g is None for g in after["grad"]]
    for old, new in zip([*before["grad"], *before["values"]], [*after["grad"], *after["values"]], strict=True):
        assert old is new is None or torch.equal(old, new)


def half_trained() -> nn.Module:
    """Partly frozen, in train mode but for one BatchNorm, with gradients of a step still in place."""
    model = network(trainable="layer4")
    freeze(model, config(trainable="layer4"))
    model.train()
    model.bn1.eval()
    with torch.random.fork_rng():
        model(batch(4)).sum().backward()
    return model


def test_leaves_a_model_in_the_middle_of_training_untouched():
    model = half_trained()
    assert any(p.grad is not None for p in model.parameters())
    before, x = snapshot(model), batch()
    given = x.clone()
    grad_cam(model, x, [0, 2], "layer4")
    assert_untouched(before, model)
    assert torch.equal(x, given)
    assert not x.requires_grad


@pytest.mark.parametrize("where", ["prefix", "suffix"])
def test_leaves_the_model_untouched_after_an_error(where: str):
    model = half_trained()
    model.register_module("broken", nn.Identity())  # a module of its own, so that its flag is watched as well
    before = snapshot(model)
    classes, x = ([0], batch()[:, :2]) if where == "prefix" else ([0, 7], batch())
    with pytest.raises((RuntimeError, IndexError)):
        grad_cam(model, x, classes, "layer4")
    assert_untouched(before, model)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_train_mode_does_not_change_the_map(resnet: nn.Module):
    expected = grad_cam(resnet, batch(), [1], "layer4")
    resnet.train()
    got = grad_cam(resnet, batch(), [1], "layer4")
    resnet.eval()
    assert torch.equal(got, expected)


def test_images_of_a_batch_do_not_influence_each_other(resnet: nn.Module):
    x = batch(5)
    together = grad_cam(resnet, x, range(3), "layer4")
    alone = torch.cat([grad_cam(resnet, one[None], range(3), "layer4") for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5 * float(together.max()))


def test_chunks_give_the_same_maps(resnet: nn.Module, monkeypatch: pytest.MonkeyPatch):
    x = batch(5)
    whole = grad_cam(resnet, x, range(3), "layer4")
    monkeypatch.setattr(cam, "CHUNK_PIXELS", 2 * 64 * 64)
    chunked = grad_cam(resnet, x, range(3), "layer4")
    torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-5 * float(whole.max()))


def test_a_large_batch_needs_no_more_memory_than_a_small_one(monkeypatch: pytest.MonkeyPatch):
    sizes = []
    pool = nn.AdaptiveAvgPool2d(4)

    def watch(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return pool(x)

    monkeypatch.setattr(cam, "sequence", lambda model: [("pool", watch), ("head", lambda x: x.mean((2, 3)))])
    maps = grad_cam(pool, torch.rand(64, 3, 224, 224), [0, 1, 2], "pool")
    assert maps.shape == (64, 3, 4, 4)
    assert sizes == [4] * 16


def test_is_fp32_also_below_autocast_and_inference_mode(resnet: nn.Module):
    x = batch()
    expected = grad_cam(resnet, x, range(3), "layer4")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(grad_cam(resnet, x, range(3), "layer4"), expected)
    with torch.inference_mode():
        assert torch.equal(grad_cam(resnet, x * 1, range(3), "layer4"), expected)
    with torch.no_grad():
        assert torch.equal(grad_cam(resnet, x.double(), range(3), "layer4"), expected)
    assert expected.dtype == torch.float32
    assert not expected.requires_grad


def test_the_map_of_a_linear_head_is_its_weights_times_the_activation():
    """Without hidden layers d logit / d A is the head's weight over h x w: the map is CAM (Zhou et al. 2016)."""
    model = network(head="")
    x = batch(2)
    activation = x
    with torch.no_grad():
        for name, step in sequence(model):
            activation = step(activation)
            if name == "layer4":
                break
    linear = [m for m in model.fc.modules() if isinstance(m, nn.Linear)][-1]
    cells = activation.shape[2] * activation.shape[3]
    expected = torch.einsum("ck,bkhw->bchw", linear.weight.detach() / cells, activation).relu()
    torch.testing.assert_close(grad_cam(model, x, range(3), "layer4"), expected, rtol=1e-4, atol=1e-6)


def test_the_activation_is_that_of_the_target_layer_though_the_next_relu_works_in_place():
    model = explained("vgg16")
    before_relu, after_relu = (grad_cam(model, batch(1), range(3), layer) for layer in ("features.28", "features.29"))
    assert before_relu.shape == after_relu.shape
    assert not torch.allclose(before_relu, after_relu)


def test_an_unknown_layer_names_the_known_ones(resnet: nn.Module):
    with pytest.raises(ConfigError, match=r"'layer9' given, accepted: .*layer4"):
        grad_cam(resnet, batch(1), [0], "layer9")


class Recorder:
    def cams(self, split, sample_id, classes, maps, scale, method, layer) -> None:
        self.got = {"split": split, "sample_id": sample_id, "classes": classes, "method": method, "layer": layer}
        self.maps, self.scale = maps, scale


def test_log_cams_writes_every_class_of_every_image(resnet: nn.Module):
    images = np.random.default_rng(0).integers(0, 256, (35, 64, 64), dtype=np.uint8)
    ids, writer, seen = [f"s{i}" for i in range(35)], Recorder(), []
    log_cams(resnet, config(image_size=64), "val", ids, images, writer, "cpu", lambda *done: seen.append(done))
    assert writer.got == {
        "split": "val", "sample_id": ids, "classes": CLASSES, "method": "grad-cam", "layer": "layer4",
    }  # fmt: skip
    assert writer.maps.dtype == np.float16
    assert writer.scale.dtype == np.float32
    assert writer.maps.shape == (35, 3, 2, 2)
    assert writer.scale.shape == (35, 3)
    assert writer.maps.min() >= 0
    tops = writer.maps.max(axis=(2, 3))
    assert set(np.unique(tops)) <= {0.0, 1.0}
    assert ((tops == 1) == (writer.scale > 0)).all()
    assert seen == [(32, 35), (35, 35)]

    from covidviz.training.batches import to_input

    raw = grad_cam(resnet, to_input(torch.from_numpy(images[33:34]), "cpu", torch.float32), range(3), "layer4")
    again = writer.maps[33].astype(np.float32) * writer.scale[33][:, None, None]
    np.testing.assert_allclose(again, raw[0].numpy(), rtol=1e-3, atol=1e-3 * float(raw.max()))


def test_log_cams_of_a_map_that_is_zero_everywhere():
    model = network(head="")
    linear = [m for m in model.fc.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        linear.weight[0].fill_(-1)  # only evidence against class 0
        linear.weight[1].fill_(1)
    writer = Recorder()
    log_cams(model, config(image_size=64, head=""), "test", ["a"], np.full((1, 64, 64), 99, np.uint8), writer, "cpu")
    assert writer.scale[0, 0] == 0
    assert (writer.maps[0, 0] == 0).all()
    assert writer.maps[0, 1].max() == 1


def test_log_cams_of_an_empty_split_writes_nothing(resnet: nn.Module):
    writer = Recorder()
    log_cams(resnet, config(image_size=64), "test", [], np.zeros((0, 64, 64), np.uint8), writer, "cpu")
    assert not hasattr(writer, "got")
