"""Starting weights: real ones, real broken ones, hostile ones, and the download."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from covidviz import weights_cache
from covidviz.catalog import MODELS
from covidviz.config import TrainConfig
from covidviz.errors import WeightsError
from covidviz.training import weights as weights_module
from covidviz.training.models import build
from covidviz.training.weights import load_weights

NAME = "squeezenet1_1"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(get_model(NAME).state_dict())


def _saved(folder: Path, content: object) -> str:
    torch.save(content, folder / "weights.pth")
    return str(folder / "weights.pth")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("model", "file"), [("resnet18", "resnet18_in1k_approx.pth"), (NAME, "squeezenet1_1_in1k.pth")]
)
def test_real_weights(test_data: Path, model: str, file: str) -> None:
    path = test_data / "weights" / file
    start = load_weights(model, str(path))
    assert start.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    config = TrainConfig.parse({"data": "d", "model": model, "weights": str(path)})
    built = build(config, 3, start=start).state_dict()
    stored = torch.load(path, weights_only=True)
    for name, tensor in start.tensors.items():
        assert torch.equal(built[name], stored[name])
        assert built[name] is not tensor
    head = f"{MODELS[model].head}."
    assert {name for name in stored if not name.startswith(head)} == set(start.tensors)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("model", "file", "sentence"),
    [
        ("resnet18", "truncated/resnet18-5c106cde.pth", "tar format of the first torch versions.* or cut off"),
        ("resnet18", "truncated/resnet18-f37072fd.pth", r"cut off or damaged \(579,901 bytes\); fetch it again"),
        ("vgg16", "truncated/vgg16_reducedfc.pth", "cut off or damaged"),
        ("resnet18", "truncated/resnet18.pth", "is a Git LFS pointer, not the weights"),
        ("resnet18", "source/SqueezeNet_fp16.onnx", "is no weights file, accepted: .pth, .pt or .safetensors"),
        ("resnet18", "../xray/labels.csv", "is no weights file"),
        (
            "vgg16",
            "vgg16_in1k_partial_block1-2.pth",
            "18 of 26 backbone tensors are missing, such as features.10.weight",
        ),
        ("resnet50", "resnet18_in1k_approx.pth", "does not fit resnet50: 165 of 265 backbone tensors are missing"),
        ("resnet18", "truncated", "'.*truncated' given, accepted: imagenet, none, or an existing"),
    ],
)
def test_real_files_that_do_not_work(test_data: Path, model: str, file: str, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence) as error:
        load_weights(model, str(test_data / "weights" / file))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "model", "model_state_dict", "module", "half", "no counts"])
def test_forms_of_a_state_dict(tmp_path: Path, state: dict[str, torch.Tensor], wrap: str) -> None:
    content: dict[str, object] = {
        "plain": state,
        "state_dict": {"state_dict": state, "epoch": 3, "arch": "x"},
        "model": {"model": state},
        "model_state_dict": {"model_state_dict": state},
        "module": {f"module.{name}": tensor for name, tensor in state.items()},
        "half": {name: tensor.half() for name, tensor in state.items()},
        "no counts": {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")},
    }[wrap]
    start = load_weights(NAME, _saved(tmp_path, content))
    assert set(start.tensors) == {name for name in state if name.startswith("features.")}
    for name, tensor in start.tensors.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, state[name].half().float() if wrap == "half" else state[name])


def test_batch_counts_may_be_missing(tmp_path: Path) -> None:
    state = get_model("resnet18").state_dict()
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    start = load_weights("resnet18", _saved(tmp_path, old))
    built = build(TrainConfig.parse({"data": "d", "weights": "w"}), 2, start=start)
    assert built.bn1.num_batches_tracked.item() == 0


def test_safetensors(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    assert len(load_weights(NAME, str(path)).tensors) == sum(name.startswith("features.") for name in state)
    for length, sentence in [
        (200, "cut off or damaged"),
        (path.stat().st_size - 1, "cut off or damaged"),
        (0, "is empty"),
    ]:
        (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:length])
        with pytest.raises(WeightsError, match=sentence):
            load_weights(NAME, str(tmp_path / "cut.safetensors"))


def test_what_does_not_fit(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    weight = "features.0.weight"
    bad = state[weight].clone()
    bad[0, 0, 0, 0] = float("nan")
    for content, sentence in [
        (
            {**state, weight: torch.zeros(64, 1, 3, 3)},
            r"features.0.weight is \[64, 1, 3, 3\], expected \[64, 3, 3, 3\]",
        ),
        ({**state, weight: bad}, "features.0.weight holds NaN"),
        (
            {**state, "features.99.weight": torch.zeros(1)},
            "1 of its tensors belong to another network, such as features.99",
        ),
        ({}, "holds no tensors"),
        ([torch.zeros(1)], "holds a list, accepted: tensors by name"),
        (torch.zeros(3), "holds a Tensor, accepted"),
        ({"epoch": 3}, "holds no tensors"),
    ]:
        with pytest.raises(WeightsError, match=sentence):
            load_weights(NAME, _saved(tmp_path, content))


def test_foreign_extras_are_noted_and_not_used(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    start = load_weights(NAME, _saved(tmp_path, {**state, "projector.weight": torch.zeros(2)}))
    assert start.notes == ("weights.pth: 1 tensors not used, such as projector.weight",)


def test_a_weight_file_of_the_same_shapes_but_more_layers_is_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        names = get_model("resnet34").state_dict()
    big = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in names.items()}
    with pytest.raises(WeightsError, match=r"of its tensors belong to another network, such as layer1\.2"):
        load_weights("resnet18", _saved(tmp_path, big))


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_pickled_code_is_never_run(tmp_path: Path, state: dict[str, torch.Tensor], how: str) -> None:
    mark, path = tmp_path / "exploded", tmp_path / "bomb.pth"
    content = {**state, "x": _Bomb(mark)}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"pickled Python objects, which are never run"):
        load_weights(NAME, str(path))
    assert not mark.exists()
    with path.open("rb") as file:  # the bomb is a real one
        torch.load(file, weights_only=False) if how == "torch" else pickle.load(file)
    assert mark.exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"save model.state_dict\(\) instead"):
        load_weights(NAME, _saved(tmp_path, get_model(NAME)))


# ImageNet weights


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An address and the files it serves."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", files
    http.shutdown()
    thread.join()
    http.server_close()


def _serve_from(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    enum = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=url))
    monkeypatch.setattr(weights_module, "get_model_weights", lambda name: enum)


def test_imagenet_is_downloaded_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: dict[str, torch.Tensor],
    server: tuple[str, dict[str, bytes]],
) -> None:
    address, files = server
    body = Path(_saved(tmp_path, state)).read_bytes()
    name = f"{NAME}-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    files[f"/{name}"] = body
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(weights_module, "imagenet_file", lambda model: weights_cache.cache_folder() / name)
    _serve_from(monkeypatch, f"{address}/{name}")
    seen: list[tuple[int, int]] = []
    start = load_weights(NAME, "imagenet", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(body), len(body))
    assert start.file == tmp_path / "home/hub/checkpoints" / name
    files.clear()
    assert load_weights(NAME, "imagenet").sha256 == start.sha256
    assert [path.name for path in start.file.parent.iterdir()] == [name]


@pytest.mark.parametrize("how", ["missing", "other bytes", "nobody there"])
def test_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, dict[str, bytes]], how: str
) -> None:
    address, files = server
    files["/squeezenet1_1-b8a52dc0.pth"] = b"no weights at all"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    name = "squeezenet1_1-b8a52dc0.pth" if how == "other bytes" else "else.pth"
    _serve_from(monkeypatch, f"{address}/{name}" if how != "nobody there" else "http://127.0.0.1:9/x.pth")
    with pytest.raises(WeightsError) as error:
        load_weights(NAME, "imagenet")
    for part in ("squeezenet1_1-b8a52dc0.pth", str(tmp_path / "home"), "--weights none", "--weights PATH"):
        assert part in str(error.value)
    assert list((tmp_path / "home/hub/checkpoints").iterdir()) == []


def test_the_cache_is_torchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({"TORCH_HOME": str(tmp_path / "a")}, {"XDG_CACHE_HOME": str(tmp_path / "b")}, {}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert weights_cache.cache_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in MODELS:
        url = weights_module.get_model_weights(name).IMAGENET1K_V1.url
        assert weights_cache.imagenet_url(name) == url
        assert weights_cache.imagenet_file(name).name == url.rpartition("/")[2]
        assert not weights_cache.is_cached(name)
    weights_cache.cache_folder().mkdir(parents=True)
    weights_cache.imagenet_file(NAME).write_bytes(b"x")
    assert weights_cache.is_cached(NAME)


def test_can_fetch(monkeypatch: pytest.MonkeyPatch, server: tuple[str, dict[str, bytes]]) -> None:
    address, files = server
    monkeypatch.setattr(weights_cache, "_ADDRESS", f"{address}/")
    assert not weights_cache.can_fetch(NAME)
    files["/squeezenet1_1-b8a52dc0.pth"] = b"x"
    assert weights_cache.can_fetch(NAME)
    monkeypatch.setattr(weights_cache, "_ADDRESS", "http://127.0.0.1:9/")
    assert not weights_cache.can_fetch(NAME)
