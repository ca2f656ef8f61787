"""The command line: documents, exit codes, one line per error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_synthetic_run

from covidviz import cli
from covidviz.commands import runs as run_commands
from covidviz.commands import train
from covidviz.commands.parts import Answer, settings
from covidviz.config import TrainConfig, knob
from covidviz.errors import DeviceError
from covidviz.paths import PROJECT
from covidviz.store import layout
from covidviz.store.runs import list_run_dirs

QUICK = ("--weights", "none", "--image-size", "64", "--batch-size", "12", "--head", "", "--epochs", "1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], runs: Path):
    """Runs one command in this process: (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def document(run):
    """Runs one command with --json, which must succeed, and gives its document."""

    def call(*arguments: object) -> Any:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))

    return call


# wrong use and bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "COMMAND"),
        (("fly",), "choose from"),
        (("runs",), "COMMAND"),
        (("runs", "show"), "RUN"),
        (("train", "--learning-rate", "1"), "--learning-rate"),
        (("train", "--lr"), "--lr"),
        (("runs", "export", "x", "--to", "mlflow"), "choose from 'csv', 'tensorboard'"),
        (("runs", "show", "x", "--lr", "1"), "--lr"),
        (("evaluate", "x"), "--data"),
        (("data", "phantoms", "x", "--size", "huge"), "choose from"),
        (("train",), "data: missing"),
        (("train", "--data", "/no/such/folder"), "/no/such/folder"),
        (("train", "--data", ".", "--lr", "99"), "above 0 to 10"),
        (("train", "--data", ".", "--epochs", "many"), "1 to 1000"),
        (("train", "--data", ".", "--model", "resnet9000"), "resnet18, vgg16"),
        (("train", "--data", ".", "--config", "/no/such.json"), "can not be read"),
        (("submit", "--data", "/no/such/folder"), "/no/such/folder"),
        (("data", "inspect", "/no/such/folder"), "/no/such/folder"),
        (("runs", "show", "20260101"), "no runs"),
        (("runs", "stop", "x"), "no runs"),
        (("runs", "resume", "x"), "no runs"),
        (("runs", "restore", "x"), "no runs"),
        (("predict", "x", "image.png"), "no runs"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_use_is_told_in_one_line_and_exits_with_2(run, arguments: tuple, said: str, as_json: bool) -> None:
    code, out, err = run(*arguments, *(["--json"] if as_json else []))
    assert code == 2
    assert out == ""
    assert err.startswith("covidviz: ")
    assert err.count("\n") == 1
    assert said in err
    assert not list_run_dirs(Path(os.environ["COVIDVIZ_RUNS_DIR"]))


def test_failures_exit_with_1_in_one_line(run, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, said in (
        (DeviceError("no GPU\nat all"), "no GPU at all"),
        (ZeroDivisionError("oh"), "unexpected ZeroDivisionError: oh"),
        (KeyboardInterrupt(), "interrupted"),
    ):

        def fail(args: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(run_commands, "_runs_list", fail)
        code, out, err = run("runs", "list", "--json")
        assert (code, out) == (1, "")
        assert err.startswith(f"covidviz: {said}")
        assert err.count("\n") == 1


def test_a_config_file_that_is_none(run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content, said in (("[1]", "one JSON object"), ("{", "can not be read"), ('{"mood": 1}', "no such setting")):
        path.write_text(content)
        code, _, err = run("train", "--config", path)
        assert code == 2
        assert said in err


# settings


def test_every_setting_is_a_flag_with_its_help(run) -> None:
    for command in (("train",), ("submit",), ("runs", "clone")):
        code, out, _ = run(*command, "--help")
        assert code == 0
        text = " ".join(out.split())
        for name in TrainConfig.model_fields:
            assert f"--{name.replace('_', '-')} " in text.replace(",", " ")
            assert " ".join(knob(name)["help"].split()) in text
    assert "--lr" not in run("evaluate", "--help")[1]


def test_flags_win_over_the_config_file(monkeypatch: pytest.MonkeyPatch, run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"schema_version": 1, "data": "/a", "lr": 0.5, "epochs": 3, "nesterov": True}))
    seen: list[TrainConfig] = []
    monkeypatch.setattr(train, "_train", lambda args: seen.append(settings(args)) or Answer(None, ""))
    run("train", "--config", path, "--lr", "0.1", "--head", "64,32", "--no-nesterov", "--classes", "b,a", "--tags", "x")
    [config] = seen
    assert (config.data, config.lr, config.epochs, config.nesterov) == ("/a", 0.1, 3, False)
    assert (config.head, config.classes, config.tags) == ((64, 32), ("b", "a"), ("x",))
    run("train", "--data", "/b", "--loss", "focal", "--focal-gamma", "1.5", "--focal-alpha", "off", "--head", "")
    assert (seen[1].focal_gamma, seen[1].focal_alpha, seen[1].head) == (1.5, None, ())


# runs


def test_runs_are_listed(run, document, runs: Path) -> None:
    assert run("runs", "list")[1] == "no runs yet\n"
    assert document("runs", "list") == []
    dirs = [write_synthetic_run(runs, i, state) for i, state in enumerate(("completed", "failed", "queued"))]
    rows = document("runs", "list")
    assert [row["run_id"] for row in rows] == [path.name for path in reversed(dirs)]
    assert {"run_id", "state", "name", "model", "loss", "progress"} <= set(rows[0])
    lines = run("runs", "list", "--runs-dir", runs)[1].splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:3] == ["RUN", "STATE", "NAME"]
    assert "val_macro_f1" in lines[-1]


def test_a_run_is_shown(run, document, runs: Path) -> None:
    run_dir = write_synthetic_run(runs, 1)
    (run_dir / layout.METRICS).open("a").write('{"epoch": 3, "split": "val", "macro_f1": 1.0, "loss": null}\n')
    shown = document("runs", "show", run_dir.name)
    assert (shown["run_id"], shown["run_dir"], shown["state"]) == (run_dir.name, str(run_dir), "completed")
    assert shown["best_epoch"] == 3
    assert shown["metrics"]["val"]["macro_f1"] == 1.0
    assert shown["metrics"]["val"]["loss"] is None
    assert "best epoch 3" in run("runs", "show", run_dir.name[:-4])[1]


def test_runs_are_stopped_deleted_and_restored(run, document, runs: Path) -> None:
    queued, done = write_synthetic_run(runs, 1, "queued"), write_synthetic_run(runs, 2)
    assert document("runs", "stop", queued.name) == {"run_id": queued.name, "state": "stopped"}
    code, _, err = run("runs", "stop", done.name)
    assert code == 2
    assert "is completed" in err
    code, _, err = run("runs", "resume", done.name)
    assert code == 2
    assert document("runs", "delete", done.name)["run_dir"] == str(runs / layout.TRASH / done.name)
    assert list_run_dirs(runs) == [queued]
    assert document("runs", "restore", done.name)["run_id"] == done.name
    assert list_run_dirs(runs) == [queued, done]


def test_runs_are_exported_to_csv(document, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = write_synthetic_run(runs, 1, artefacts=True)
    monkeypatch.chdir(tmp_path)
    answer = document("runs", "export", run_dir.name, "--to", "csv")
    assert answer["path"] == str(tmp_path / f"{run_dir.name}-csv")
    assert [Path(name).name for name in answer["files"]] == ["metrics.csv", "predictions.csv", "config.json"]
    assert all(Path(name).is_file() for name in answer["files"])


def test_a_run_is_exported_to_tensorboard(document, runs: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_dir = write_synthetic_run(runs, 1)
    answer = document("runs", "export", run_dir.name, "--to", "tensorboard", "--out", tmp_path / "events")
    assert answer["path"] == str(tmp_path / "events")
    events = EventAccumulator(answer["path"]).Reload()
    assert {"loss/train", "loss/val", "macro_f1/val"} <= set(events.Tags()["scalars"])
    assert [point.step for point in events.Scalars("macro_f1/val")] == list(range(1, 11))
    again = document("runs", "export", run_dir.name, "--to", "tensorboard", "--out", tmp_path / "events")
    assert again["files"] == answer["files"]
    [file] = document("runs", "export", run_dir.name, "--to", "tensorboard")["files"]
    assert Path(file).parent == run_dir


# data


def test_phantoms_are_made_and_inspected(run, document, tmp_path: Path) -> None:
    out = tmp_path / "phantoms"
    made = document("data", "phantoms", out, "--size", "tiny", "--seed", "3", "--marker-class", "covid19")
    assert (made["path"], made["images"], made["marker_class"]) == (str(out), 60, "covid19")
    answer = document("data", "inspect", out)
    assert answer["classes"] == ["covid19", "normal", "pneumonia"]
    assert sum(split["n"] for split in answer["splits"].values()) == 60
    assert sum(answer["splits"]["train"]["per_class"].values()) == answer["splits"]["train"]["n"]
    assert answer["unreadable"] == []
    assert answer["patients"] > 10
    assert "path" in answer["columns"]
    assert "train" in run("data", "inspect", out / "labels.csv")[1]
    code, _, err = run("data", "phantoms", out, "--size", "tiny")
    assert code == 2
    assert "not an empty folder" in err
    code, _, err = run("data", "phantoms", tmp_path / "other", "--label-noise", "2")
    assert code == 2
    assert "0 to 0.5" in err


# training


def test_submit_queues_and_clone_queues_again(
    document, runs: Path, tiny_phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covidviz.jobs.submit.ensure_scheduler", lambda runs_dir: True)
    first = document("submit", "--data", tiny_phantoms, *QUICK, "--lr", "0.5")
    assert first["state"] == "queued"
    assert (first["best_epoch"], first["metrics"]) == (None, {})
    second = document("runs", "clone", first["run_id"], "--lr", "0.25")
    assert second["run_id"] != first["run_id"]
    assert second["config"] == {**first["config"], "lr": 0.25, "backbone_lr": 0.25, "name": second["config"]["name"]}
    assert sorted(path.name for path in list_run_dirs(runs / layout.QUEUE)) == []
    assert {path.name for path in (runs / layout.QUEUE).iterdir()} == {first["run_id"], second["run_id"]}


def test_train_evaluate_and_predict(run, document, runs: Path, tiny_phantoms: Path, tmp_path: Path) -> None:
    code, out, err = run("train", "--data", tiny_phantoms, *QUICK, "--json")
    assert code == 0, err
    trained = json.loads(out)
    assert trained["state"] == "completed"
    assert trained["run_dir"] == str(runs / trained["run_id"])
    assert trained["best_epoch"] == 1
    assert {"loss", "accuracy", "macro_f1", "recall_covid19"} <= set(trained["metrics"]["val"])
    assert trained["run_id"] in err
    assert document("runs", "show", trained["run_id"]) == trained

    evaluated = document("evaluate", trained["run_id"], "--data", tiny_phantoms, "--split", "val")
    assert (evaluated["run_id"], evaluated["split"]) == (trained["run_id"], "val")
    assert evaluated["n"] == sum(map(sum, evaluated["confusion"]["matrix"]))
    assert evaluated["metrics"]["macro_f1"] == pytest.approx(trained["metrics"]["val"]["macro_f1"])

    image = next((tiny_phantoms / "images").iterdir())
    [row] = document("predict", trained["run_id"], image, "--cam", tmp_path / "cams")
    assert row["path"] == str(image)
    assert sum(row["prob"].values()) == pytest.approx(1)
    assert row["error"] is None
    assert len(list((tmp_path / "cams").iterdir())) == 1
    code, out, err = run("predict", trained["run_id"], tmp_path / "no.png", "--json")
    assert code == 1
    assert json.loads(out)[0]["error"]
    assert "none of the images" in err


def test_a_training_that_fails_exits_with_1_and_its_document(run, tiny_phantoms: Path) -> None:
    code, out, err = run(
        "train", "--data", tiny_phantoms, *QUICK, "--trainable", "layer4.7", "--json"
    )  # such a layer is only missed when the network is built
    assert code == 1
    shown = json.loads(out)
    assert shown["state"] == "failed"
    assert "layer4.7" in shown["error"]
    assert err.splitlines()[-1] == f"covidviz: {shown['error']}"


def test_ctrl_c_stops_with_a_checkpoint_and_resume_goes_on(tiny_phantoms: Path, runs: Path) -> None:
    command = [sys.executable, "-m", "covidviz"]
    settings = ["--data", str(tiny_phantoms), *QUICK[:-1], "6"]
    child = subprocess.Popen(
        [*command, "train", *settings, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    )
    deadline = time.monotonic() + 200
    metrics: list[Path] = []
    while not metrics and time.monotonic() < deadline and child.poll() is None:
        metrics = list(runs.glob(f"*/{layout.LAST}"))
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=200)
    assert child.returncode == 0, err
    stopped = json.loads(out)
    assert stopped["state"] == "stopped"
    assert "stopping after this batch" in err
    run_dir = Path(stopped["run_dir"])
    assert 1 <= stopped["epoch"] < 6
    done = subprocess.run(
        [*command, "runs", "resume", stopped["run_id"], "--json"],
        capture_output=True, text=True, cwd=PROJECT, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    resumed = json.loads(done.stdout)
    assert (resumed["run_id"], resumed["state"], resumed["epoch"]) == (stopped["run_id"], "completed", 6)
    epochs = [json.loads(line) for line in (run_dir / layout.METRICS).read_text().splitlines()]
    assert [row["epoch"] for row in epochs if row["split"] == "val"] == list(range(1, 7))


# light


def test_help_is_quick_and_light() -> None:
    program = (
        "import sys; from covidviz.cli import main\n"
        "code = main(['--help'])\n"
        "heavy = {'pydantic', 'numpy', 'pandas', 'pyarrow', 'torch', 'streamlit', 'PIL', 'subprocess'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stderr.strip() == "0 []"
    for command in ("demo", "data", "train", "submit", "runs", "evaluate", "predict", "scheduler"):
        assert command in done.stdout


def test_a_reader_that_has_enough_is_no_error(runs: Path) -> None:
    for i in range(40):
        write_synthetic_run(runs, i, "queued")
    child = subprocess.Popen(
        [sys.executable, "-m", "covidviz", "runs", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=PROJECT,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.wait()


# caches


def test_cache_is_shown_and_cleared(run, document, runs: Path, tiny_phantoms: Path) -> None:
    assert document("cache", "show")["entries"] == []
    document("train", "--data", tiny_phantoms, *QUICK, "--model", "squeezenet1_1", "--trainable", "head")
    shown = document("cache", "show")
    kinds = [entry["kind"] for entry in shown["entries"]]
    assert kinds.count("images") == 1
    assert kinds.count("features") == 3, "one for each split, shared by training and heat maps"
    assert shown["bytes"] == sum(entry["bytes"] for entry in shown["entries"]) > 60 * 64 * 64
    code, out, _ = run("cache", "show", "--kind", "images")
    assert code == 0
    assert "images 60" in out
    freed = document("cache", "clear", "--kind", "features")["freed"]
    assert freed > 0
    assert [entry["kind"] for entry in document("cache", "show")["entries"]] == ["images"]
    assert document("cache", "clear")["freed"] == shown["bytes"] - freed
