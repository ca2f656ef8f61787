"""The Predict page in a real browser with the real compute worker, on phantoms."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from driver import Server, Tab
from PIL import Image
from playwright.sync_api import expect

from covidviz.config import TrainConfig
from covidviz.jobs.submit import prepare
from covidviz.store.reader import Run
from covidviz.store.runs import create_run, edit_notes
from covidviz.store.thresholds import Chosen, save_thresholds

DROP = """([node, files]) => {
  const moved = new DataTransfer();
  for (const [name, text] of files) moved.items.add(new File([text], name));
  const how = { dataTransfer: moved, bubbles: true, cancelable: true, composed: true };
  for (const type of ["dragover", "drop"]) node.dispatchEvent(new DragEvent(type, how));
}"""


@pytest.fixture(scope="module")
def trained(server: Server, tiny_phantoms: Path) -> Run:
    """A finished run on phantoms, made in this process with the server's cache."""
    from covidviz.training.worker import work

    data = Path(shutil.copytree(tiny_phantoms, server.data / "phantoms"))
    values = {"data": str(data), "model": "squeezenet1_1", "weights": "none", "image_size": 64, "epochs": 1,
              "device": "cpu", "name": "phantom net"}  # fmt: skip
    config, _ = prepare(TrainConfig.parse(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVIDVIZ_CACHE_DIR", str(server.cache))
        run_dir = create_run(config, server.runs, state="running")
        assert work(run_dir) == "completed"
    return Run(run_dir)


def pictures(trained: Run, split: str, n: int) -> list[Path]:
    samples = trained.samples()
    config = trained.config()
    assert config is not None
    return [Path(config.data) / path for path in samples.loc[samples["split"] == split, "path"][:n]]


def give(tab: Tab, *files: Path | str | dict[str, Any]) -> None:
    tab.page.locator(".predict input[type=file]").set_input_files([f if isinstance(f, dict) else str(f) for f in files])


def ready(tab: Tab, n: int) -> Any:
    """The cards, when all of them are there and nothing is going on."""
    cards = tab.page.locator(".predict .card")
    expect(cards).to_have_count(n)
    expect(tab.page.locator(".predict .card:not([data-state=done]):not([data-state=failed])")).to_have_count(0)
    expect(tab.page.locator(".predict .halt")).to_be_hidden()
    return cards


def open_page(tab: Tab, run: Run) -> None:
    tab.open(f"/predict?run={run.id}")
    expect(tab.page.get_by_role("button", name="Choose images")).to_be_visible()


def test_images_are_looked_at_and_compared_with_training(tab: Tab, trained: Run) -> None:
    open_page(tab, trained)
    known, new = pictures(trained, "train", 1)[0], pictures(trained, "test", 1)[0]
    frames = tab.frames
    give(tab, known, new)
    cards = ready(tab, 2)
    expect(cards.nth(0).locator("h3")).to_have_text(known.name)
    # what the run itself said of it
    samples, stored = trained.samples(), trained.predictions()
    row = stored.set_index("sample_id").loc[samples.set_index("path")["sample_id"][f"images/{new.name}"]]
    config = trained.config()
    assert config is not None
    shown = dict(zip(config.classes, cards.nth(1).locator(".bar .value").all_inner_texts(), strict=True))
    for name in config.classes:
        assert float(shown[name].lstrip("✓ ")) == pytest.approx(row[f"prob_{name}"], abs=0.0011)
    likeliest = max(config.classes, key=lambda name: row[f"prob_{name}"])
    expect(cards.nth(1).locator(".called strong")).to_have_text(likeliest)
    assert "✓" in shown[likeliest]
    # nearest training images
    expect(cards.nth(0).locator(".one")).to_have_count(5)
    expect(cards.nth(0).locator(".hint.twin")).to_contain_text("Training had this picture")
    expect(cards.nth(0).locator(".one").first).to_contain_text("0.000")
    first = cards.nth(0).locator(".one").first
    assert f"img={samples.set_index('path')['sample_id'][f'images/{known.name}']}" in first.get_attribute("href")
    tab.page.wait_for_function(
        "(image) => image.complete && image.naturalWidth > 0", arg=first.locator("img").element_handle()
    )
    # the heat map follows its bar, without the server
    canvas = cards.nth(1).locator("canvas")
    before = canvas.evaluate("(node) => node.dataset.label")
    other = next(str(k) for k in range(3) if str(k) != before)
    tab.page.locator(".predict .heatbar .label").select_option(other)
    expect(canvas).to_have_attribute("data-label", other)
    assert tab.frames == frames  # nothing went to the script
    assert tab.severe() == []
    # what was looked at is still there when one comes back
    tab.page.get_by_role("link", name="System").first.click()
    expect(tab.page.locator(".predict")).to_have_count(0)
    tab.page.get_by_role("link", name="Predict").first.click()
    expect(ready(tab, 2).nth(0).locator("h3")).to_have_text(known.name)
    # who has no image at hand
    tab.page.get_by_role("button", name="Clear").click()
    tab.page.get_by_role("button", name="Try some of its images").click()
    tests = samples[samples["split"] == "test"]
    names = {Path(path).name for path in tests["path"]}
    assert set(ready(tab, len(config.classes)).locator("h3").all_inner_texts()) <= names
    assert not list(Path(tempfile.gettempdir()).glob("covidviz-upload-*/image*"))


def test_each_bad_file_says_what_is_wrong_and_the_others_go_on(tab: Tab, trained: Run, tmp_path: Path) -> None:
    good = pictures(trained, "test", 1)[0]
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:900])
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(65_000_000)
    grey = Image.open(good).convert("L")
    grey.save(tmp_path / "moving.gif", save_all=True, append_images=[grey.rotate(90)])
    name = "<img src=x onerror=alert(1)> **b** [a](www.x.y) " + "long" * 40 + ".png"
    shutil.copy(good, tmp_path / name)
    open_page(tab, trained)
    sent: list[str] = []
    tab.page.on("request", lambda request: sent.append(request.url) if "/predicting/" in request.url else None)
    give(tab, *(tmp_path / one for one in ("text.png", "empty.png", "cut.png", "large.png", "moving.gif", name)))
    cards = ready(tab, 6)
    for k, said in enumerate(
        ("no image that can be read", "empty (0 bytes)", "can't be decoded", "65 MB, accepted: up to 64 MB")
    ):
        expect(cards.nth(k).locator(".error")).to_contain_text(said)
    expect(cards.nth(4).locator(".remark")).to_contain_text("several pictures")
    expect(cards.nth(5).locator("h3")).to_have_text(name)
    assert not tab.overflows()
    assert len([url for url in sent if "/image" in url]) == 4  # the empty and the large one stayed here
    tab.page.get_by_role("button", name="not read 4").click()
    expect(tab.page.locator(".predict .card:visible")).to_have_count(4)


def test_the_table_holds_no_formula(tab: Tab, trained: Run, tmp_path: Path) -> None:
    good = pictures(trained, "test", 1)[0]
    shutil.copy(good, tmp_path / "=1+1.png")
    (tmp_path / "text.png").write_text("no image")
    open_page(tab, trained)
    give(tab, tmp_path / "=1+1.png", tmp_path / "text.png")
    ready(tab, 2)
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name="CSV").click()
    assert waiting.value.suggested_filename == f"{trained.id}-predictions.csv"
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text("utf-8-sig"), newline="")))
    assert [row["file"] for row in rows] == ["'=1+1.png", "text.png"]
    assert sum(float(rows[0][f"prob_{name}"]) for name in ("covid19", "normal", "pneumonia")) == pytest.approx(
        1, abs=1e-5
    )
    assert rows[0]["nearest_training_image"]
    assert "no image" in rows[1]["note"]


def test_dropping_anywhere_on_the_page(tab: Tab, trained: Run) -> None:
    open_page(tab, trained)
    body = tab.page.locator("[data-testid=stMain]").element_handle()
    tab.page.evaluate(DROP, [body, [["a" * 300, "no image"], ["b.png", "nor this"]]])
    cards = ready(tab, 2)
    expect(cards.locator(".error").first).to_contain_text("no image")
    expect(cards.locator("h3").first).to_have_text("a" * 300)
    assert not tab.overflows()


@pytest.fixture
def with_thresholds(trained: Run, server: Server) -> Iterator[Run]:
    """The same run once more, with a threshold; asked for before the tab, it goes when the tab is closed."""
    copy = server.runs / f"{trained.id[:-4]}beef"
    shutil.copytree(trained.dir, copy)
    edit_notes(copy, name="with thresholds")
    save_thresholds(copy, {"pneumonia": Chosen(0.0)})
    yield Run(copy)
    shutil.rmtree(copy)


def test_another_run_is_asked_about_the_same_images(with_thresholds: Run, tab: Tab, trained: Run) -> None:
    open_page(tab, trained)
    give(tab, pictures(trained, "test", 1)[0])
    ready(tab, 1)
    tab.page.locator(".st-key-pick_run [role=combobox], .st-key-pick_run input").first.click()
    tab.page.get_by_role("option", name=re.compile("with thresholds")).click()
    expect(tab.page.locator(".predict .card .limit.saved")).to_have_count(1)
    cards = ready(tab, 1)
    expect(cards.locator("p.called")).to_contain_text("pneumonia at the saved thresholds")
    assert tab.query()["run"] == with_thresholds.id


def test_a_worker_that_dies_is_told_and_the_rest_goes_on(tab: Tab, trained: Run, server: Server) -> None:
    open_page(tab, trained)
    first, *rest = pictures(trained, "test", 3)
    give(tab, first)
    ready(tab, 1)
    assert server.process is not None
    [worker] = [
        one for one in psutil.Process(server.process.pid).children() if "covidviz.training.compute" in one.cmdline()
    ]
    worker.send_signal(signal.SIGSTOP)
    give(tab, *rest)
    expect(tab.page.locator(".predict .card[data-state=busy]")).to_have_count(2)
    with contextlib.suppress(psutil.NoSuchProcess):
        os.kill(worker.pid, signal.SIGKILL)
    expect(tab.page.locator(".predict .trouble")).to_contain_text("started again")
    expect(tab.page.locator(".predict .card[data-state=done]")).to_have_count(1)  # what was there is there
    tab.page.get_by_role("button", name="Go on").click()
    expect(tab.page.locator(".predict .card[data-state=done]")).to_have_count(3)
    expect(tab.page.locator(".predict .trouble")).to_be_hidden()


def test_a_run_whose_data_is_gone_still_predicts(open_tab: Any, trained: Run, server: Server) -> None:
    """On a phone, dark."""
    image = pictures(trained, "test", 1)[0].read_bytes()
    copy = server.runs / f"{trained.id[:-4]}dead"
    shutil.copytree(trained.dir, copy)
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace(str(server.data / "phantoms"), str(server.data / "gone")))
    tab = open_tab(viewport={"width": 390, "height": 844}, color_scheme="dark")
    try:
        open_page(tab, Run(copy))
        give(tab, {"name": "one.png", "mimeType": "image/png", "buffer": image})
        cards = ready(tab, 1)
        expect(cards.locator(".bar")).to_have_count(3)
        expect(cards.locator(".near")).to_contain_text("can't be shown")
        expect(cards.locator(".near")).to_contain_text("gone")
        assert not tab.overflows()
        assert tab.severe() == []
        give(tab, {"name": "again.png", "mimeType": "image/png", "buffer": image})
        expect(ready(tab, 2).nth(1).locator(".near")).to_contain_text("can't be shown")
        (copy / "checkpoints" / "best.safetensors").write_bytes(b"broken")
        give(tab, {"name": "two.png", "mimeType": "image/png", "buffer": image})
        expect(tab.page.locator(".predict .trouble")).to_contain_text("No image can be looked at with this run")
        expect(cards).to_have_count(3)
    finally:
        shutil.rmtree(copy)
