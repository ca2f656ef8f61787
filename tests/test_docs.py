"""The documents say what the code does."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covidviz import catalog, cli
from covidviz.config import TrainConfig
from covidviz.data import layouts
from covidviz.data.doctor import CHECKS
from covidviz.store import layout

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")])
TEXT = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
COMMANDS = ("demo", "data", "recipes", "train", "submit", "runs", "evaluate", "predict", "compare", "report", "cache",
            "scheduler")  # fmt: skip
EVERYTHING = "\n".join(TEXT.values())


def _code(pattern: str, text: str = EVERYTHING) -> set[str]:
    """What stands in `backticks` and looks like this as a whole."""
    return {found for found in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(pattern, found)}


def test_the_settings_table_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("settings", PROJECT / "docs/settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert TEXT["settings.md"] == module.settings_table()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = TEXT[path.name]
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if not target.startswith(("http://", "https://")):
            file, _, anchor = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            assert there.exists(), target
            heads = [re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in
                     re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.M)] if anchor else [""]  # fmt: skip
            assert anchor in heads, target


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [PROJECT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path not in reached:
            reached.add(path)
            links = re.findall(r"\]\(([^)#\s]+\.md)", path.read_text(encoding="utf-8"))
            ahead += [(path.parent / link).resolve() for link in links if "://" not in link]
    assert set(DOCUMENTS) <= reached


def test_files_that_are_named_are_there() -> None:
    named = _code(r"(covidviz|pages|tests|docs|benchmarks)/[\w./]+\.(py|json|md|css|js)")
    named |= {f"covidviz/{name}" for name in _code(r"(training|explain|evaluation|data|ui|store|jobs)/[\w/]+\.py")}
    assert named > {"covidviz/catalog.py"}
    assert {name for name in named if "NAME" not in name and not (PROJECT / name).exists()} == set()


def _commands() -> Iterator[str]:
    for line in re.findall(r"python -m covidviz[ \t]+([^`\n]+)", EVERYTHING):
        yield line.split("  #")[0].strip()


def test_commands_that_are_shown_are_accepted() -> None:
    given = {"RUN", "RUN_A", "RUN_B", "FOLDER", "PATH", "IMAGE", "A", "B"}
    shown = sorted({re.sub(r"\[[^\]]*\]|\.\.\.", "", line).strip() for line in _commands()})
    assert len(shown) > 10
    assert any(given & set(line.split()) for line in shown)
    for line in shown:
        words = shlex.split(line)
        assert words[0] in COMMANDS, line
        if len(words) > 1:
            cli._parser(words).parse_args(words)  # exits where a command or a flag is unknown


def test_every_command_is_shown() -> None:
    parser = cli._parser([])
    known = set(next(action for action in parser._actions if action.choices).choices or ())
    assert known <= set(COMMANDS)
    assert {line.split()[0] for line in _commands()} >= known - {"scheduler"}


def test_variables_are_those_that_are_read() -> None:
    inside = {name for path in (PROJECT / "covidviz").rglob("*.py") for name in _variables(path)}
    assert inside == set(_variables(PROJECT / "README.md")) - {"COVIDVIZ_TEST_DATA"}
    outside = {name for path in (PROJECT / "tests").rglob("*.py") for name in _variables(path)}
    assert set(re.findall(r"COVIDVIZ_[A-Z_]+", TEXT["development.md"])) <= inside | outside


def _variables(path: Path) -> list[str]:
    return re.findall(r"COVIDVIZ_[A-Z]+(?:_[A-Z]+)*", path.read_text(encoding="utf-8"))


def test_every_page_has_its_guide() -> None:
    titles = re.findall(r'st\.Page\([^)]*title="([^"]+)"', (PROJECT / "covidviz/ui/nav.py").read_text(encoding="utf-8"))
    assert "Runs" in titles
    assert sorted(re.findall(r"^## (.+)$", TEXT["guide.md"], re.M)) == sorted(titles)


def test_every_file_of_a_run_is_described() -> None:
    text = TEXT["run-directory.md"]
    names = [value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)]
    assert len(names) > 15
    parts = {"cams": "cams/<split>.npz", "checkpoints": "checkpoints/", ".queue": ".queue/", ".trash": ".trash/"}
    assert [name for name in names if parts.get(name, name) not in text] == []
    for state in (*layout.STATES, *layout.DERIVED_STATES):
        assert f"`{state}`" in text


def test_the_data_contract_is_what_is_read() -> None:
    text = TEXT["data.md"]
    assert _code(r"\.\w+", text) == layouts.IMAGE_SUFFIXES
    assert set(layouts._SPLIT_NAMES) <= _code(r"\w+", text)
    assert all(layouts.normalise_class(name) == "covid19" for name in ("COVID-19", "covid_19", "covid"))
    assert set(layouts.DESCRIPTIVE) <= _code(r"\w+", text)


def test_the_example_of_labels_csv_is_read(tmp_path: Path) -> None:
    example = re.search(r"```\n(.*?)```", TEXT["data.md"], re.S)
    assert example is not None
    (tmp_path / "labels.csv").write_text(re.sub(r"^ +", "", example[1], flags=re.M))
    (tmp_path / "a").mkdir()
    for name in ("001.png", "002.dcm"):
        (tmp_path / "a" / name).touch()
    listing = layouts.read_listing(tmp_path)
    assert listing.names == ("covid19", "normal", "pneumonia")
    assert listing.labels.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert listing.frame["patient_id"].tolist() == ["p1", "p2"]


def test_every_check_of_the_doctor_is_described() -> None:
    table = re.findall(r"^\| `([\w-]+)` \|", TEXT["data-doctor.md"], re.M)
    assert set(table) == set(CHECKS)


def test_the_example_of_a_model_can_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from covidviz.training.models import build

    rows: dict[str, catalog.Model] = {}
    exec(_example("MODELS["), {"Model": catalog.Model, "MODELS": _Table(rows)})
    for name, row in rows.items():
        monkeypatch.setitem(catalog.MODELS, name, row)
    config = TrainConfig.parse({"data": "x", "model": "resnet34", "weights": "none", "trainable": "from:layer4"})
    model = build(config, 3)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert any(p.requires_grad for p in model.layer4.parameters())
    assert not any(p.requires_grad for p in model.layer3.parameters())


class _Table(dict[str, catalog.Model]):
    """Reads the catalog, writes into `rows`."""

    def __init__(self, rows: dict[str, catalog.Model]) -> None:
        super().__init__(catalog.MODELS)
        self.rows = rows

    def __setitem__(self, name: str, row: catalog.Model) -> None:
        self.rows[name] = row


def test_the_example_of_a_loss_is_one_per_image() -> None:
    import torch

    known: dict[str, Any] = {"Tensor": torch.Tensor}
    exec(_example("def hinge"), known)
    got = known["hinge"](torch.tensor([[2.0, -0.5], [0.0, 0.0]]), torch.tensor([[1, 0], [1, 0]]))
    assert got.tolist() == [0.25, 1.0]


def _example(start: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", TEXT["extending.md"], re.S)
    return next(block for block in blocks if block.startswith(start))


def test_modules_of_benchmarks_exist() -> None:
    for name in set(re.findall(r"python -m (benchmarks\.[a-z_]+)", EVERYTHING)):
        assert importlib.util.find_spec(name) is not None, name
