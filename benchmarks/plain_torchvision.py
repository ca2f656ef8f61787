"""The plain torchvision script: what most people would write to fine-tune a ResNet-18 on these X-rays.

It uses nothing of covidviz, on purpose: it is what `benchmarks.against_plain` compares covidviz with. Only where random
numbers are drawn does it follow covidviz (start of the head, order of the images, dropout), so that the two can be
compared number by number; any other choice would do as well.

    python -m benchmarks.plain_torchvision --data XRAY_FOLDER --weights resnet18.pth --trainable head
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms


class XRays(Dataset[tuple[torch.Tensor, int]]):
    """The images of one split of labels.csv."""

    def __init__(self, root: Path, split: str, classes: list[str], image_size: int) -> None:
        table = pd.read_csv(root / "labels.csv")
        table = table[table["split"] == split]
        self.paths = [root / path for path in table["path"]]
        self.labels = [classes.index(label) for label in table["label"]]
        self.transform = transforms.Compose(
            [
                transforms.Grayscale(3),
                transforms.Resize((image_size, image_size)),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image), self.labels[index]


def build(
    weights: Path | None, trainable: str, n_classes: int, head: list[int], dropout: float, seed: int
) -> nn.Module:
    """ResNet-18 with a new head; with `trainable` "head" everything else has `requires_grad=False`."""
    torch.manual_seed(seed)
    model = models.resnet18(weights=None)
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True))
    if trainable == "head":
        for parameter in model.parameters():
            parameter.requires_grad = False
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    width = model.fc.in_features
    for hidden in head:
        layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
        width = hidden
    model.fc = nn.Sequential(*layers, nn.Linear(width, n_classes))
    return model


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader[Any]) -> tuple[float, float, int]:
    """Accuracy, macro F1 and number of images."""
    model.eval()
    pairs = [(model(x).argmax(dim=1), y) for x, y in loader]
    predicted, labels = (torch.cat(part).numpy() for part in zip(*pairs, strict=True))
    return accuracy_score(labels, predicted), f1_score(labels, predicted, average="macro", zero_division=0), len(labels)


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Train as told; the weights of the epoch with the best validation macro F1 are tested at the end."""
    classes = sorted(pd.read_csv(args.data / "labels.csv")["label"].unique())
    splits = {split: XRays(args.data, split, classes, args.image_size) for split in ("train", "val", "test")}
    # Loaders get their own generator, or they would take random numbers from dropout.
    val, test = (DataLoader(splits[s], args.batch_size, generator=torch.Generator()) for s in ("val", "test"))
    model = build(args.weights, args.trainable, len(classes), args.head, args.dropout, args.seed)
    torch.manual_seed(args.seed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=args.lr, momentum=args.momentum)
    epochs: list[dict[str, float]] = []
    best: dict[str, Any] = {"macro_f1": -1.0}
    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        model.train()
        if args.freeze_batchnorm:
            # What the tutorials leave out: requires_grad=False does not stop the running statistics.
            for name, module in model.named_children():
                if name != "fc":
                    module.eval()
        order = np.random.default_rng([args.seed, epoch]).permutation(len(splits["train"]))
        train_loader = DataLoader(splits["train"], args.batch_size, sampler=order, generator=torch.Generator())
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        accuracy, macro_f1, _ = evaluate(model, val)
        row = {"epoch": epoch, "accuracy": accuracy, "macro_f1": macro_f1, "seconds": time.perf_counter() - start}
        epochs.append(row)
        if macro_f1 > best["macro_f1"]:
            best = {**row, "state": copy.deepcopy(model.state_dict())}
        if not args.json:
            print(
                f"epoch {epoch}: accuracy {accuracy:.4f}, macro F1 {macro_f1:.4f}, {row['seconds']:.1f} s", flush=True
            )
    model.load_state_dict(best.pop("state"))
    accuracy, macro_f1, n = evaluate(model, test)
    return {"epochs": epochs, "best_epoch": best["epoch"], "test": {"accuracy": accuracy, "macro_f1": macro_f1, "n": n}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv (path, label, split)")
    parser.add_argument("--weights", type=Path, help="state dict of torchvision's resnet18; default: from scratch")
    parser.add_argument("--trainable", choices=("head", "all"), default="head")
    parser.add_argument("--freeze-batchnorm", action="store_true", help="keep the backbone's BatchNorm in eval mode")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--head", type=int, nargs="*", default=[256], help="widths of the hidden layers")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON document only")
    args = parser.parse_args()
    result = train(args)
    if args.json:
        print(json.dumps(result))
    else:
        test = result["test"]
        print(f"test (epoch {result['best_epoch']}): accuracy {test['accuracy']:.4f}, macro F1 {test['macro_f1']:.4f}")


if __name__ == "__main__":
    main()
