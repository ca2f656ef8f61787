"""Reports of synthetic runs: what they say, what they never say, and that they need nothing but themselves."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from explored import make_dataset
from synthetic import write_synthetic_run

from covidviz.errors import InputError
from covidviz.evaluation.matched import match
from covidviz.evaluation.paired import compare
from covidviz.evaluation.verdict import verdict
from covidviz.report.facts import asked_runs, gather
from covidviz.report.limits import limits
from covidviz.report.make import make_report
from covidviz.report.options import Options
from covidviz.store import layout
from covidviz.store.runs import delete_run, edit_notes

EVIL = """<script>alert(1)</script>"><img src=x onerror=alert(2)> [a](javascript:alert(3)) ![b](http://x.test/b.png)"""


@pytest.fixture(scope="module")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise images, which compress worse than any X-ray, with patients p0, p1, ... Read only."""
    return make_dataset(tmp_path_factory.mktemp("secret-place") / "set", n=216)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory, xrays: Path) -> list[Path]:
    """Two values of gamma with two seeds each, and a fifth run that differs in more. Read only."""
    runs = tmp_path_factory.mktemp("reported") / "runs"
    same: dict[str, Any] = {"artefacts": True, "data": xrays, "loss": "focal", "lr": 0.01, "model": "resnet18"}
    made = [
        write_synthetic_run(runs, k, **same, focal_gamma=gamma, seed=seed, name=f"gamma {gamma} seed {seed}")
        for k, (gamma, seed) in enumerate([(0.5, 0), (0.5, 1), (2.0, 0), (2.0, 1)], start=1)
    ]
    other = {**same, "model": "vgg16", "lr": 0.1}
    return [*made, write_synthetic_run(runs, 5, **other, focal_gamma=1.0, seed=0, name="a VGG")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, five: list[Path]) -> tuple[dict[str, Any], str]:
    """The report of the five: its document and its text."""
    out = tmp_path_factory.mktemp("out") / "five.html"
    return make_report(five, out), out.read_text(encoding="utf-8")


class _Page(HTMLParser):
    """Tags with their attributes, and the text between them (scripts and styles apart)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def _nothing_loads(text: str) -> None:
    page = _Page(text)
    assert not {"link", "iframe", "object", "embed", "base", "form", "video", "audio"} & {name for name, _ in page.tags}
    assert all(src["src"].startswith("data:image/webp;base64,") for src in page.named("img") if src["src"])
    assert all(a["href"].startswith("#") for a in page.named("a") if a["href"])
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = next(
        attrs["content"] or "" for attrs in page.named("meta") if "Security" in (attrs.get("http-equiv") or "")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}';")
    assert not re.search(r"url\(\s*['\"]?(?!#)|@import|fetch\(|XMLHttpRequest|import\(", text)


def test_five_runs_fit_in_5_mb_and_load_nothing(written: tuple[dict[str, Any], str]) -> None:
    document, text = written
    assert document["bytes"] == len(text.encode()) < 5_000_000
    _nothing_loads(text)


def test_it_has_all_sections_and_a_figure_for_each_kind(written: tuple[dict[str, Any], str]) -> None:
    page = _Page(written[1])
    ids = [attrs["id"] for attrs in page.named("section")]
    assert ids == [
        "summary", "objective", "data", "setup", "network", "results", "runs", *(f"run-{k}" for k in range(1, 6)),
        "analysis", "limits", "reproducibility",
    ]  # fmt: skip
    assert {attrs["href"] for attrs in page.named("a")} == {f"#{one}" for one in ids}
    labels = [attrs["aria-label"] or "" for attrs in page.named("svg")]
    for part in ("Confusion matrix, Training", "Confusion matrix, Validation", "Confusion matrix, Test"):
        assert sum(label.startswith(part) for label in labels) == 5
    assert sum(label.startswith("Loss by epoch: validation, training") for label in labels) == 5
    assert [label for label in labels if label.startswith("ResNet-18: only the head learns, runs 1, 2, 3 and 4")]
    charts = [json.loads(attrs["data-chart"] or "") for attrs in page.named("svg") if "data-chart" in attrs]
    assert all(len(one["x"]) == len(one["y"]) == 10 for chart in charts for one in chart["series"])
    assert page.text.count("never for clinical use") == 1
    # Each class of each run has its worst and best images with their heat maps, and the data its examples.
    titles = [word for word in page.words if "worst: missed" in word or "best: found" in word]
    assert len(titles) == 5 * 3 * 2
    assert len([attrs for attrs in page.named("img") if attrs.get("class") == "heat"]) > 60


def test_experiments_stand_in_blocks_of_one_varied_setting(written: tuple[dict[str, Any], str]) -> None:
    text = _Page(written[1]).text
    assert "Focal gamma varied, all else the same but the seed" in text
    assert "Other runs: no single setting sets them apart" in text
    assert "What does focal gamma do, all else the same? (0.5 and 2; 4 runs)" in text


def test_seeds_alone_are_no_experiment(tmp_path: Path, five: list[Path]) -> None:
    make_report(five[:2], tmp_path / "seeds.html")
    text = _Page((tmp_path / "seeds.html").read_text(encoding="utf-8")).text
    assert "The runs differ in their seed alone: they show how far chance moves a result." in text
    assert "They differ in seed." in text
    assert re.search(r"Between seeds of the same settings .* standard deviation of \.\d{3} \(1 group of runs\)", text)


def test_it_says_what_the_paired_verdict_says_and_no_more(
    five: list[Path], written: tuple[dict[str, Any], str]
) -> None:
    runs = gather(five)
    found = match([one.judged for one in runs[:2]], [one.judged for one in runs[2:4]], "test")
    paired = compare(found.truth, found.a, found.b, found.classes, found.task, clusters=found.patients)
    said = verdict(paired, critical="covid19", a="focal gamma 0.5", b="focal gamma 2")
    text = _Page(written[1]).text
    assert f"{said.headline}. {said.numbers[:1].upper()}{said.numbers[1:]}." in text
    assert all(caution in text for caution in said.cautions)
    assert "the chance that at least one still comes out below .05 is up to 10 %" in text
    row = runs[0].scores["test"].classes[0]["recall"]
    assert f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})".replace("0.", ".") in text


def test_nothing_personal_unless_asked_for(
    tmp_path: Path, xrays: Path, five: list[Path], written: tuple[dict[str, Any], str]
) -> None:
    def private(text: str) -> list[str]:
        return re.findall(r"patient p\d+|images/x \d+|secret-place|/tmp/\S+", text)

    assert private(written[1]) == []
    assert "The dataset set has 216 images of 216 patients" in _Page(written[1]).text
    assert re.search(r"image \d+", _Page(written[1]).text)
    out = tmp_path / "named.html"
    make_report(five[:1], out, Options(patient_ids=True))
    assert {one.split()[0] for one in private(out.read_text(encoding="utf-8"))} == {"patient", "images/x"}


def test_nobodys_text_becomes_markup(tmp_path: Path, runs: Path) -> None:
    classes = ("a<b>", 'c"d', "</script>")
    run_dir = write_synthetic_run(runs, 1, artefacts=True, classes=classes, name=EVIL[:200])
    edit_notes(run_dir, note=EVIL)
    make_report([run_dir], tmp_path / "x.html", Options(title=EVIL))
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    _nothing_loads(text)
    assert _Page(text).text.count("<img src=x onerror=alert(2)>") >= 3
    make_report([run_dir], tmp_path / "x.md", Options(title=EVIL))
    markdown = (tmp_path / "x.md").read_text(encoding="utf-8")
    outside = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\((?!x_files/)|https?:", outside)
    assert {Path(name).name for name in re.findall(r"\]\(x_files/([^)]+)\)", markdown)} == {
        one.name for one in (tmp_path / "x_files").iterdir()
    }


def test_what_is_missing_is_said(tmp_path: Path, runs: Path, xrays: Path) -> None:
    run_dir = write_synthetic_run(runs, 1, artefacts=True, data=xrays)
    (run_dir / layout.ENVIRONMENT).unlink()
    for split in layout.SPLITS:
        (run_dir / layout.CAMS / f"{split}.npz").unlink(missing_ok=True)
    for name in (layout.SAMPLES, layout.PREDICTIONS):
        frame = pd.read_parquet(run_dir / name)
        frame[frame["split"] != "test"].to_parquet(run_dir / name, index=False)
    make_report([run_dir], tmp_path / "x.html")
    text = _Page((tmp_path / "x.html").read_text(encoding="utf-8")).text
    assert "environment.json is missing: versions, hardware, commit and data fingerprint are not known." in text
    assert "There is no test split: the result is told on images that also chose the best epoch." in text
    assert "There are no heat maps of the validation images, so they are shown without." in text
    assert "There is no report of the data doctor on this data as it is now" in text
    assert "There is one seed only" in " ".join(limits(gather([run_dir])))


def test_several_labels_other_data_and_images_that_are_gone(tmp_path: Path, runs: Path, xrays: Path) -> None:
    multi = write_synthetic_run(runs, 1, artefacts=True, task="multi-label", loss="bce", name="several labels")
    single = write_synthetic_run(runs, 2, artefacts=True, data=xrays)
    document = make_report([multi, single], tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "Confusion matrix, Test: covid19: of" in text
    assert "There are 2 sets of data" in text
    assert "not paired" in text
    assert "They saw different data, so there is no best one among them" in document["summary"]
    assert "the image file<br>can not be shown" in text


@pytest.mark.parametrize("state", ["queued", "running", "failed", "stopped", "lost"])
def test_runs_that_are_not_completed_are_named(runs: Path, state: str) -> None:
    good = write_synthetic_run(runs, 1, artefacts=True)
    bad = write_synthetic_run(runs, 2, state)
    word = "failed" if state == "failed" else f"is {state}"
    with pytest.raises(InputError, match=f"run {bad.name} {word}.*; accepted: completed runs with their predictions"):
        asked_runs(runs, [good.name, bad.name])


def test_deleted_unknown_and_too_many_runs_are_named(runs: Path, tmp_path: Path) -> None:
    gone = write_synthetic_run(runs, 1, artefacts=True)
    left = write_synthetic_run(runs, 2, artefacts=True)
    delete_run(gone)
    with pytest.raises(
        InputError, match=rf"run {gone.name} was deleted .*; run: 'nope' given, accepted: .*{left.name}"
    ):
        asked_runs(runs, [gone.name, "nope", left.name])
    with pytest.raises(InputError, match="accepted for a model card: one run"):
        make_report([left, left], tmp_path / "x.html", Options(card=True))
    with pytest.raises(InputError, match=r"ends in \.html, \.md, \.zip"):
        make_report([left], tmp_path / "x.pdf")


def test_a_model_card_has_the_headings_of_its_authors(tmp_path: Path, five: list[Path]) -> None:
    make_report(five[:1], tmp_path / "card.zip", Options(card=True))
    with zipfile.ZipFile(tmp_path / "card.zip") as archive:
        text = archive.read("card.md").decode()
        assert {f"figures/{name}" for name in re.findall(r"\]\(figures/([^)]+)\)", text)} == set(archive.namelist()) - {
            "card.md"
        }
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Model Details", "Intended Use", "Factors", "Metrics", "Evaluation Data", "Training Data",
        "Quantitative Analyses", "Ethical Considerations", "Caveats and Recommendations",
    ]  # fmt: skip


def test_the_command_prints_one_document(five: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from covidviz.cli import main

    out = tmp_path / "report.html"
    command = [
        "report",
        five[0].name,
        five[2].name[:20],
        "--out",
        str(out),
        "--runs-dir",
        str(five[0].parent),
        "--json",
    ]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["runs"] == [five[0].name, five[2].name]
    assert (document["out"], document["bytes"]) == (str(out), out.stat().st_size)
    assert document["summary"].startswith("2 runs of ResNet-18 were trained on 216 X-rays of set")
    assert main(["report", "nope", "--out", str(out), "--runs-dir", str(five[0].parent)]) == 2
