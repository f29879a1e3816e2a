"""The command line: what it takes, what it makes, and one line where it cannot."""

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minddpm
from app.shared import ROOT, environment
from minddpm import DDPM, MLP, Schedule, TrainConfig, UNet, load_checkpoint
from minddpm.__main__ import main
from minddpm.app import evaluation, files, presets
from minddpm.app.classifier import fit_classifier
from minddpm.app.drawing import _read_labels

OPTIONS = {
    "doctor": [],
    "train": [
        *("data", "out", "minutes", "steps", "batch", "seed", "device", "resume"),
        *("compile", "save-every", "size", "channels", "skip-broken"),
    ],
    "sample": [
        *("weights", "n", "labels", "guidance", "steps", "sampler", "seed", "device"),
        "out",
    ],
    "evaluate": ["data", "device", "skip-broken"],
    "grade": ["out", "timeout", "memory", "course"],
}


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path) -> None:
    """Work in an empty folder, train small networks, know no shipped weights."""
    preset = presets.Preset(
        {"n_feat": 8}, 10, "v", TrainConfig(steps=6, batch_size=8, warmup=3)
    )
    monkeypatch.setitem(presets.PRESETS, "digits", preset)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def weights() -> None:
    """Weights of a model of 3 classes, in the file w."""
    torch.manual_seed(0)
    ddpm = DDPM(UNet(1, 8, 3), schedule=Schedule.cosine(10))
    minddpm.save("w", ddpm, shape=[1, 8, 8])


# --- help -----------------------------------------------------------------------------


def test_help_names_every_command(capsys) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    shown = capsys.readouterr().out
    for command in OPTIONS:
        assert re.search(rf"^ +{command} +\w", shown, re.MULTILINE), command


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(capsys, command: str) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: minddpm {command}")
    named = set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", shown, re.MULTILINE))
    assert named == {"help", *OPTIONS[command]}


def test_what_is_no_data_set_and_no_folder_is_refused_in_one_line(capsys) -> None:
    np.savez("x.npz", images=np.zeros((3, 8, 8), np.uint8))
    known = f"{', '.join(presets.PRESETS)}, or a folder of pictures, got 'cats'"
    for argv in (["train", "--out", "run"], ["evaluate", "x.npz"]):
        line = errs(capsys, [*argv, "--data", "cats"])
        assert f"data must be one of {known}" in line
    assert not Path("run").exists()


# --- train, sample, evaluate ----------------------------------------------------------


def test_from_training_to_numbers(capsys, monkeypatch) -> None:
    """All commands, one after another, as the README tells."""
    quick = functools.partial(fit_classifier, epochs=3, progress=False)
    monkeypatch.setattr(evaluation, "fit_classifier", quick)
    train = ["train", "--data", "digits", "--out", "run"]
    assert main([*train, "--steps", "4", "--batch", "6", "--seed", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("run: History(4 steps in ")
    assert "training" in err  # the bar
    _, history = load_checkpoint("run/state.safetensors")
    config = history.config
    assert (config.steps, config.batch_size, config.seed) == (4, 6, 2)
    assert main([*train, "--resume"]) == 0
    capsys.readouterr()
    sample = ["sample", "--weights", "run", "--n", "20", "--steps", "3"]
    assert main([*sample, "--out", "x.npz"]) == 0
    assert capsys.readouterr().out == "20 pictures in x.npz\n"
    with np.load("x.npz") as arrays:
        assert arrays["images"].shape == (20, 8, 8)
        assert arrays["labels"].tolist() == 2 * list(range(10))
    assert main(["evaluate", "x.npz", "--data", "digits"]) == 0
    shown = capsys.readouterr().out
    for line in ("n = 20", "class accuracy", "Fréchet distance", "ratio", "nearest"):
        assert line in shown


def test_all_that_sample_takes(weights) -> None:
    argv = ["sample", "--weights", "w", "--out", "a.npz", "--n", "5"]
    argv += ["--labels", "2,0-1", "--guidance", "1.5", "--seed", "3", "--device", "cpu"]
    assert main([*argv, "--sampler", "ddim", "--steps", "4"]) == 0
    assert main([*argv, "--sampler", "ddpm", "--out", "b.npz"]) == 0
    with np.load("a.npz") as a, np.load("b.npz") as b:
        assert a["labels"].tolist() == b["labels"].tolist() == [2, 0, 1, 2, 0]


def test_samples_go_to_a_grid_of_a_hundred_if_nothing_is_said(weights) -> None:
    assert main(["sample", "--weights", "w", "--steps", "1"]) == 0
    with Image.open("samples.png") as image:
        assert image.size == (3 * 58, 34 * 58)  # a column a class


def test_an_interrupted_training_says_how_to_go_on(capsys, monkeypatch) -> None:
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DDPM, "draw", interrupted)
        assert main(["train", "--data", "digits", "--out", "run"]) == 130
    said = capsys.readouterr().out.splitlines()[-1]
    command = said.removeprefix("go on with: minddpm ").split()
    assert main(command) == 0
    assert len(load_checkpoint("run/state.safetensors")[1].losses) == 6


def test_a_folder_with_a_space_in_its_name_can_be_gone_on_with(
    capsys, monkeypatch
) -> None:
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DDPM, "draw", interrupted)
        assert main(["train", "--data", "digits", "--out", "my run"]) == 130
    said = capsys.readouterr().out.splitlines()[-1]
    command = shlex.split(said.removeprefix("go on with: minddpm "))
    assert command[command.index("--out") + 1] == "my run"


# --- labels ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", [7]),
        ("3,5", [3, 5]),
        ("0-9", list(range(10))),
        ("8-9,0,2-2", [8, 9, 0, 2]),
        ("5,5", [5, 5]),
        (" 1 , 2 ", [1, 2]),
    ],
)
def test_labels_are_read(text: str, expected: list[int]) -> None:
    assert _read_labels(text, []) == expected


def test_names_of_classes_are_labels_and_go_first() -> None:
    names = ["1", "10", "2", "cats"]  # as folders are sorted
    assert _read_labels("cats, 2,10,0-1,3", names) == [3, 2, 1, 0, 1, 3]


@pytest.mark.parametrize("text", ["", "x", "3,", "-1", "9-0", "1-2-3", "1.5", "0–9"])
def test_bad_labels_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="labels must be like 0-9 or 3,5, got"):
        _read_labels(text, [])
    with pytest.raises(ValueError, match="or names of cats, dogs, got"):
        _read_labels(text, ["cats", "dogs"])


# --- errors ---------------------------------------------------------------------------


def errs(capsys, argv: list[str]) -> str:
    """Run a command that must fail with one line, and return the line."""
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"minddpm {argv[0]}: ")
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    return err


SAMPLE = {
    "no such weights": (["--weights", "nowhere"], "no weights at nowhere"),
    "no shipped weights": (["--weights", "mnist"], "no weights at mnist"),
    "damaged weights": (["--weights", "damaged"], "damaged is no file of minddpm's"),
    "a folder without any": (["--weights", "."], r"no weights at model\.safetensors"),
    "ending": (["--out", "x.jpg"], r"must be one of \.png, \.gif, \.npz; got '\.jpg'"),
    "no folder": (["--out", "no/x.png"], r"No such file .*x\.png is not written"),
    "none": (["--n", "0"], "n must be at least 1, got 0"),
    "label": (["--labels", "0,7"], "labels must be in 0…2"),
    "no label": (["--labels", "cats"], "labels must be like 0-9 or 3,5, got 'cats'"),
    "steps": (["--steps", "99"], "steps must be in 1…10, got 99"),
    "steps of ddim": (["--sampler", "ddim", "--steps", "0"], "in 1…10, got 0"),
    "guidance": (["--guidance", "inf"], "w must be finite, got inf"),
    "seed": (["--seed", "-1"], "seed must be at least 0, got -1"),
    "device": (["--device", "toaster"], "toaster"),
    "no such GPU": (["--device", "cuda:99"], "device must name a device of this mach"),
}


@pytest.mark.parametrize(("options", "message"), SAMPLE.values(), ids=SAMPLE.keys())
@pytest.mark.usefixtures("weights")
def test_sample_fails_in_one_line(capsys, options: list[str], message: str) -> None:
    Path("damaged").write_bytes(b"noise")
    before = sorted(Path().iterdir())
    line = errs(capsys, ["sample", "--weights", "w", "--steps", "1", *options])
    assert re.search(message, line), line
    assert sorted(Path().iterdir()) == before


def test_sample_of_points_fails_in_one_line(capsys) -> None:
    minddpm.save("points", DDPM(MLP(2, 8), n_T=5))
    line = errs(capsys, ["sample", "--weights", "points"])
    assert "does not say which shape" in line


TRAIN = {
    "steps": (["--steps", "0"], "steps must be at least 1, got 0"),
    "batch": (["--batch", "-3"], "batch_size must be at least 1, got -3"),
    "minutes": (["--minutes", "nan"], "must be finite"),
    "seed": (["--seed", "-1"], "seed must be at least 0, got -1"),
    "nothing to resume": (["--resume"], "holds no training to resume"),
    "resume with batch": (["--resume", "--batch", "9"], "must be left out to resume"),
    "size of digits": (
        ["--size", "8", "8"],
        "options must be left out but for a folder",
    ),
    "a file": (["--out", "file"], "file"),
    "device": (["--device", "toaster"], "toaster"),
    "no such GPU": (["--device", "cuda:99"], "device must name a device of this mach"),
}


@pytest.mark.parametrize(("options", "message"), TRAIN.values(), ids=TRAIN.keys())
def test_train_fails_in_one_line(capsys, options: list[str], message: str) -> None:
    Path("file").write_text("no folder")
    line = errs(capsys, ["train", "--data", "digits", "--out", "run", *options])
    assert re.search(message, line), line


def test_train_does_not_overwrite(capsys) -> None:
    train = ["train", "--data", "digits", "--out", "run", "--steps", "1"]
    assert main(train) == 0
    capsys.readouterr()
    assert "holds a training already: go on" in errs(capsys, train)


def test_a_training_that_diverges_fails_in_one_line(capsys, monkeypatch) -> None:
    def forward(self, x_t, *_: torch.Tensor) -> torch.Tensor:
        return self.leave.bias.sum() + x_t * float("nan")

    monkeypatch.setattr(UNet, "forward", forward)
    assert main(["train", "--data", "digits", "--out", "run"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert re.search("^minddpm train: the loss is nan at step 1 ", err, re.MULTILINE)


EVALUATE = {
    "nowhere": (None, "nowhere"),
    "noise": (b"noise", "noise holds no pictures"),
    "empty": (b"", "empty holds no pictures"),
}


@pytest.mark.parametrize("name", EVALUATE)
def test_evaluate_fails_in_one_line(capsys, name: str) -> None:
    content, message = EVALUATE[name]
    if content is not None:
        Path(name).write_bytes(content)
    assert message in errs(capsys, ["evaluate", name, "--data", "digits"])


def test_evaluate_refuses_pictures_of_another_size(capsys) -> None:
    np.savez("x.npz", images=np.zeros((3, 28, 28), np.uint8))
    line = errs(capsys, ["evaluate", "x.npz", "--data", "digits"])
    assert "the pictures must have shape" in line


@pytest.mark.parametrize(
    "argv",
    [
        ["sample", "--sampler", "euler"],
        ["sample", "--n", "many"],
        ["train", "--data", "digits"],
        ["train", "--out", "run", "--size", "20"],
        ["train", "--out", "run", "--channels", "2"],
        ["evaluate"],
        ["paint"],
    ],
)
def test_arguments_that_are_none_are_usage_errors(capsys, argv: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(argv)
    assert capsys.readouterr().err.startswith("usage: minddpm")


def test_signs_that_a_console_cannot_show_are_told_apart() -> None:
    """What `LC_ALL=C` did to the doctor's ✓ and ✗: both were "?"."""
    source = (
        "import sys; from minddpm.__main__ import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "try: main(['sample', '--weights', 'nowhere', '--n', '1'])\n"
        "finally: print('✓ ✗ × − … 雪'); print('✗', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "+ x x - ... ?"
    assert done.stderr.splitlines()[-1] == "x"


def test_a_process_ends_with_the_status_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "minddpm", "sample", "--weights", "/nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("minddpm sample: no weights at /nowhere")
    assert "Traceback" not in done.stderr
