"""Trainings in folders: killed and resumed bit by bit, alone in theirs, on several."""

import errno
import io
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import minddpm
from app.kill_and_resume import differences, kill_and_resume
from app.shared import at_step, begun, environment, interrupted_by
from minddpm import TrainConfig, data, load_checkpoint, save_checkpoint
from minddpm.app import files, muon, presets, processes, runs
from minddpm.train import train

NEVER = 1e9  # seconds from one checkpoint to the next


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small network on eight digits a step, and log every fifth step."""
    config = TrainConfig(steps=20, batch_size=8, optimiser="muon", warmup=3)
    preset = presets.Preset({"n_feat": 8}, 10, "v", config, time_power=0.5)
    monkeypatch.setitem(presets.PRESETS, "digits", preset)
    monkeypatch.setattr(runs, "_LOG_EVERY", 5)
    monkeypatch.setenv("MINDDPM_DEVICE", "cpu")


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    settle(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that was left in peace."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        settle(monkeypatch)
        run(folder)
    return folder


def run(folder: Path, save_every: float = NEVER, **options):
    return runs.run(folder, "digits", save_every=save_every, progress=False, **options)


# --- runs -----------------------------------------------------------------------------


def test_a_run_leaves_what_it_says(tmp_path) -> None:
    history = run(tmp_path / "a" / "b", seed=3)
    folder = tmp_path / "a" / "b"
    assert {p.name for p in folder.iterdir()} == {
        *("model.safetensors", "state.safetensors", "log.jsonl", "samples.png"),
        "lock",
    }
    assert history.config.seed == 3
    ddpm, model = load_checkpoint(folder / "state.safetensors")[0], minddpm.load(folder)
    for one, other in zip(ddpm.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)  # the averaged weights
    about = files.read(folder / "model.safetensors")[1]["about"]
    assert about == {
        "data": "digits",
        "shape": [1, 8, 8],
        "steps": 20,
        "seconds": round(history.seconds, 1),
    }
    with Image.open(folder / "samples.png") as picture:
        # 10 columns and 4 rows of 8 × 8 pixels, 7 times as large, with a rim of 1
        assert (picture.format, picture.size) == ("PNG", (10 * 58, 4 * 58))


def test_what_shaped_a_run_is_in_its_state_and_shapes_what_follows(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(processes, "has_bf16", lambda where: True)
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda x: compiled.append(x) or x)
    history = run(tmp_path, steps=2, compiled=True)
    assert type(history.optimiser) is muon.Muon
    told = {"data": "digits", "time_power": 0.5, "bf16": True, "compile": True}
    assert files.read(tmp_path / "state.safetensors")[1]["about"] == told
    monkeypatch.setattr(processes, "has_bf16", lambda where: False)
    given, real = {}, processes.batch_loss

    def batch_loss(*args, **options):
        given.update(options)
        return real(*args, **options)

    monkeypatch.setattr(processes, "batch_loss", batch_loss)
    run(tmp_path, resume=True)
    assert given == {"time_power": 0.5, "bf16": True, "compiled": True}
    assert len(compiled) == 2
    assert files.read(tmp_path / "state.safetensors")[1]["about"] == told


def test_a_state_that_says_nothing_of_its_data_is_gone_on_with(tmp_path) -> None:
    """One that was saved by hand; the command line names the data."""
    images, labels = data.load("digits")
    preset = presets.PRESETS["digits"]
    ddpm = presets.model(preset, images, labels, 0, torch.device("cpu"))
    history = train(ddpm, (images, labels), TrainConfig(steps=3), progress=False)
    save_checkpoint(tmp_path / "state.safetensors", ddpm, history)
    assert run(tmp_path, resume=True).step == 3
    for name in ("state", "model"):
        about = files.read(tmp_path / f"{name}.safetensors")[1]["about"]
        assert about["data"] == "digits"


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path, whole) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    run(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    assert not differences(whole, tmp_path / "a")
    run(tmp_path / "b", seed=1)
    assert differences(whole, tmp_path / "b")


def test_how_often_it_saves_changes_nothing_else(tmp_path, whole) -> None:
    run(tmp_path, save_every=0.0)
    assert not differences(whole, tmp_path)
    one, other = ((at / "samples.png").read_bytes() for at in (whole, tmp_path))
    assert one == other


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_ended_by_a_signal_is_saved_and_goes_on(
    tmp_path, monkeypatch, whole, number: int
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with at_step(monkeypatch, 12, interrupted_by(number)):
        history = run(tmp_path / "a")
    now = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert now == handlers
    assert (history.stopped, len(history.losses)) == ("interrupted", 12)
    about = files.read(tmp_path / "a" / "model.safetensors")[1]["about"]
    assert about["steps"] == 12
    history = run(tmp_path / "a", resume=True)
    assert (history.stopped, len(history.losses)) == ("steps", 20)
    assert not differences(whole, tmp_path / "a")


class Killed(BaseException):
    """As sudden as a kill: nothing of ours catches it."""


def killed() -> None:
    raise Killed


def test_a_killed_run_leaves_the_average_and_what_it_needs_to_go_on(
    tmp_path, monkeypatch, whole
) -> None:
    with at_step(monkeypatch, 12, killed), pytest.raises(Killed):
        run(tmp_path / "a", save_every=0.0)
    ddpm, history = load_checkpoint(tmp_path / "a" / "state.safetensors")
    assert (len(history.losses), history.ema.swapped) == (11, False)
    model = minddpm.load(tmp_path / "a")
    for averaged, kept in zip(history.ema.shadow, model.parameters(), strict=True):
        assert torch.equal(averaged, kept)
    pairs = zip(ddpm.parameters(), model.parameters(), strict=True)
    assert not any(torch.equal(*pair) for pair in pairs)
    run(tmp_path / "a", resume=True)
    assert not differences(whole, tmp_path / "a")


def read_log(folder: Path) -> list[dict]:
    lines = (folder / "log.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_log_has_a_line_for_each_step_it_names_once(
    tmp_path, monkeypatch, whole
) -> None:
    expected = read_log(whole)
    assert [line["step"] for line in expected] == [5, 10, 15, 20]
    for line in expected:
        assert line.keys() == {"step", "seconds", "loss", "images_per_second", "lr"}
    # the state is that of step 0, so that all lines are written a second time
    with at_step(monkeypatch, 13, killed), pytest.raises(Killed):
        run(tmp_path / "a")
    assert [line["step"] for line in read_log(tmp_path / "a")] == [5, 10]
    with open(tmp_path / "a" / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 15, "seco')  # the kill cut it off
    run(tmp_path / "a", resume=True)
    log = read_log(tmp_path / "a")
    for name in ("step", "loss", "lr"):
        assert [line[name] for line in log] == [line[name] for line in expected]
    seconds = [line["seconds"] for line in log]
    assert seconds == sorted(seconds)


def test_lines_up_to_the_state_are_kept(tmp_path, monkeypatch) -> None:
    with at_step(monkeypatch, 12, interrupted_by(signal.SIGINT)):
        run(tmp_path)
    before = (tmp_path / "log.jsonl").read_text("utf-8")
    run(tmp_path, resume=True)
    assert (tmp_path / "log.jsonl").read_text("utf-8").startswith(before)
    assert [line["step"] for line in read_log(tmp_path)] == [5, 10, 15, 20]


def test_the_speed_in_the_log_is_that_of_the_steps_since_the_line_before(
    tmp_path, monkeypatch
) -> None:
    """Also after a resume, where the seconds go on from those of the state."""
    with at_step(monkeypatch, 12, interrupted_by(signal.SIGINT)):
        run(tmp_path)
    ddpm, history = load_checkpoint(tmp_path / "state.safetensors")
    spent = 1000.0
    history.seconds = spent
    about = files.read(tmp_path / "state.safetensors")[1]["about"]
    save_checkpoint(tmp_path / "state.safetensors", ddpm, history, **about)
    run(tmp_path, resume=True)
    line = read_log(tmp_path)[2]
    assert line["step"] == 15
    # 3 steps of 8 pictures since the resume
    assert line["seconds"] > spent
    expected = 24 / (line["seconds"] - spent)
    assert line["images_per_second"] == pytest.approx(expected, rel=0.1)


def test_a_log_that_was_lost_begins_anew(tmp_path, monkeypatch) -> None:
    with at_step(monkeypatch, 12, interrupted_by(signal.SIGINT)):
        run(tmp_path)
    (tmp_path / "log.jsonl").unlink()
    run(tmp_path, resume=True)
    assert [line["step"] for line in read_log(tmp_path)] == [15, 20]


def test_a_killed_run_can_be_resumed_before_its_first_step(
    tmp_path, monkeypatch, whole
) -> None:
    with at_step(monkeypatch, 1, killed), pytest.raises(Killed):
        run(tmp_path / "a")
    assert not (tmp_path / "a" / "model.safetensors").exists()
    run(tmp_path / "a", resume=True)
    assert not differences(whole, tmp_path / "a")


def test_time_is_a_limit_and_steps_are_one(tmp_path) -> None:
    history = run(tmp_path / "a", minutes=0.5 / 60)
    assert history.stopped == "time"
    assert history.config.max_seconds == 0.5
    history = run(tmp_path / "b", steps=3, batch=4)
    assert len(history.losses) == 3
    assert history.config.batch_size == 4
    assert history.config.max_seconds is None
    history = run(tmp_path / "c", steps=3, minutes=10.0)
    assert (history.stopped, len(history.losses)) == ("steps", 3)


# --- refusals -------------------------------------------------------------------------


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let another process hold the lock of a folder."""
    source = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", source, str(folder / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        other.stdout.readline()
        yield
    finally:
        other.communicate(b"")


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_training_at_the_same_time_is_refused(tmp_path, resume: bool) -> None:
    if resume:
        run(tmp_path, steps=2)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with (
        held(tmp_path),
        pytest.raises(RuntimeError, match=r"another training is at work in .*wait for"),
    ):
        run(tmp_path, resume=resume)
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert {**after, "lock": b""} == {**before, "lock": b""}
    run(tmp_path, **({"resume": True} if resume else {"steps": 2}))


def test_a_training_is_not_overwritten(tmp_path) -> None:
    run(tmp_path, steps=2)
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(
        FileExistsError, match="holds a training already: go on with it by --resume"
    ):
        run(tmp_path, steps=2)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_nothing_cannot_be_resumed(tmp_path) -> None:
    with pytest.raises(
        FileNotFoundError, match="holds no training to resume; leave out --resume"
    ):
        run(tmp_path / "a", resume=True)


def test_a_resumed_training_keeps_its_batches(tmp_path) -> None:
    with pytest.raises(ValueError, match="batch must be left out to resume, got 4"):
        run(tmp_path, resume=True, batch=4)
    assert list(tmp_path.iterdir()) == []


def test_a_training_goes_on_to_a_later_end(tmp_path, monkeypatch, whole) -> None:
    """Finished or not, its rate follows the cosine to the new end from where it is."""
    run(tmp_path / "a", steps=12)
    with pytest.raises(ValueError, match="steps must be more than the 12 that were"):
        run(tmp_path / "a", resume=True, steps=12)
    with pytest.raises(ValueError, match=r"minutes must be more than the \d\S+ that"):
        run(tmp_path / "a", resume=True, minutes=1e-6)
    with at_step(monkeypatch, 3, killed), pytest.raises(Killed):
        run(tmp_path / "a", resume=True, steps=30)  # the new end is kept at once
    history = run(tmp_path / "a", resume=True)
    assert (history.stopped, history.step, len(history.losses)) == ("steps", 30, 30)
    ddpm, earlier = load_checkpoint(whole / "state.safetensors")
    again = train(
        ddpm,
        data.load(),
        replace(earlier.config, steps=30),
        progress=False,
        resume=earlier,
    )
    assert (again.stopped, len(again.losses)) == ("steps", 30)
    rate = history.optimiser.param_groups[0]["lr"]
    assert rate == again.optimiser.param_groups[0]["lr"]
    assert rate == pytest.approx(2e-3 * 0.5 * (1 + math.cos(math.pi * 29 / 30)), 1e-9)
    history = run(tmp_path / "a", resume=True, minutes=history.seconds / 60 + 0.005)
    assert history.stopped == "time"
    assert history.step > 30


def test_a_run_in_a_thread_is_a_run(tmp_path, whole) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run, tmp_path).result()
    assert not differences(whole, tmp_path)


def test_a_process_that_is_told_half_of_where_it_is_works_alone(
    tmp_path, monkeypatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert run(tmp_path, steps=1).step == 1


def test_a_picture_or_a_log_that_cannot_be_written_ends_no_training(
    tmp_path, monkeypatch, whole
) -> None:
    replace_ = files.replace

    def held_by_a_viewer(path: Path, content: bytes) -> None:
        if path.name == "samples.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        replace_(path, content)

    monkeypatch.setattr(files, "replace", held_by_a_viewer)
    (tmp_path / "log.jsonl").mkdir()
    with pytest.warns(UserWarning, match="the training goes on without") as caught:
        assert run(tmp_path, save_every=0.0).stopped == "steps"
    said = sorted(str(warning.message).split("/")[-1] for warning in caught)
    assert [line.split(" (")[0] for line in said] == [  # each of them once
        "log.jsonl cannot be written",
        "samples.png cannot be written",
    ]
    assert not differences(whole, tmp_path)


def test_a_training_goes_on_with_its_own_data(tmp_path, monkeypatch) -> None:
    run(tmp_path, steps=2)
    before = (tmp_path / "state.safetensors").read_bytes()
    monkeypatch.setitem(presets.PRESETS, "mnist", presets.PRESETS["digits"])
    larger = torch.zeros(20, 1, 28, 28), torch.arange(20) % 10
    monkeypatch.setattr(data, "load", lambda name: larger)
    with pytest.raises(ValueError, match="data must be digits to resume"):
        runs.run(tmp_path, "mnist", resume=True, progress=False)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_full_disk_ends_a_run_and_leaves_what_was_there(
    tmp_path, monkeypatch, whole
) -> None:

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        monkeypatch.context() as disk,
        at_step(monkeypatch, 12, lambda: disk.setattr(os, "fsync", full)),
        pytest.raises(OSError, match=r"the one from before; .* --resume goes on") as e,
    ):
        run(tmp_path / "a", save_every=0.0)
    assert e.value.filename == str(tmp_path / "a" / "state.safetensors")
    assert len(load_checkpoint(tmp_path / "a" / "state.safetensors")[1].losses) == 11
    run(tmp_path / "a", resume=True)
    assert not differences(whole, tmp_path / "a")


def test_a_file_is_no_folder(tmp_path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OSError, match=r"name a folder that can be written to: .*/a'"):
        run(tmp_path / "a")


def test_where_a_process_fails_all_are_told_to_go_on(tmp_path, monkeypatch) -> None:
    def fails() -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(runs, "place", lambda: (0, 2))
    monkeypatch.setattr(runs.dist, "barrier", lambda: None)
    with (
        at_step(monkeypatch, 12, fails),
        pytest.raises(RuntimeError, match=r"^process 1 of 2 .* --resume \(Connection"),
    ):
        run(tmp_path)


def test_a_damaged_state_is_refused_and_kept(tmp_path) -> None:
    run(tmp_path, steps=2)
    state = tmp_path / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-5] ^= 1
    state.write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.safetensors is damaged"):
        run(tmp_path, resume=True)
    assert state.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch": 0}, "batch_size must be at least 1, got 0"),
        ({"minutes": 0.0}, "must be positive"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_settings_leave_no_training_behind(tmp_path, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)
    assert not (tmp_path / "state.safetensors").exists()


def test_an_unknown_data_set_is_refused(tmp_path) -> None:
    with pytest.raises(
        ValueError, match=r"data must be one of digits, mnist, .*'cats'"
    ):
        runs.run(tmp_path / "a", "cats")
    assert not (tmp_path / "a").exists()


# --- processes ------------------------------------------------------------------------

TRAIN = ["-m", "minddpm", "train", "--data", "digits", "--device", "cpu"]


@pytest.mark.parametrize("where", [(0, 3), (1, 3)])
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch, where) -> None:
    monkeypatch.setattr(processes, "place", lambda: where)
    with pytest.raises(
        ValueError, match="batch_size must be a multiple of the 3 processes, got 8"
    ):
        run(tmp_path)
    assert not (tmp_path / "state.safetensors").exists()


def test_only_the_first_process_writes(tmp_path, monkeypatch) -> None:
    ddpm, samples = begun("UNet")
    for rank in (1, 0):
        monkeypatch.setattr(runs, "place", lambda rank=rank: (rank, 2))
        about, shape = {"data": "digits"}, torch.Size([1, 8, 8])
        keeper = runs._Keeper(tmp_path, ddpm, about, shape, 0.0)
        train(
            ddpm,
            samples,
            TrainConfig(steps=5, batch_size=4),
            progress=False,
            callback=keeper.after_step,
        )
        assert {p.name for p in tmp_path.iterdir()} == (
            {"log.jsonl", "model.safetensors", "state.safetensors", "samples.png"}
            if rank == 0
            else set()
        )


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path) -> None:
    """20 steps: the rounding of sums is all that may differ."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", *TRAIN, "--out", str(tmp_path / "two")),
            *("--steps", "20", "--batch", "16"),
        ],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one = [*TRAIN, "--out", str(tmp_path / "one"), "--steps", "20", "--batch", "16"]
    subprocess.run(
        [sys.executable, *one],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=300,
    )
    parts = ("nn_model.", "shadow.")
    (one, _), (two, _) = (
        files.read(tmp_path / name / "state.safetensors") for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert torch.equal(one["queue"], two["queue"])
    assert torch.equal(one["generator"], two["generator"])
    largest = max(float(v.abs().max()) for k, v in one.items() if k.startswith(parts))
    for name, value in one.items():
        if name.startswith(parts):
            assert (value - two[name]).abs().max() < 1e-6 * largest, name
    torch.testing.assert_close(one["losses"], two["losses"], rtol=1e-5, atol=0)


@pytest.mark.slow
def test_where_one_process_is_killed_the_other_does_not_wait_for_ever(tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, *TRAIN, "--out", str(tmp_path / "a")),
                *("--batch", "8", "--steps", "100000", "--save-every", "0.2"),
            ],
            env=environment(
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
                WORLD_SIZE="2",
                RANK=str(rank),
                LOCAL_RANK=str(rank),
            ),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "a" / "model.safetensors").exists():
            assert time.monotonic() < deadline
            assert processes[0].poll() is None, processes[0].communicate()
            time.sleep(0.05)
        processes[1].kill()
        said = processes[0].communicate(timeout=60)[1].decode()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[0].returncode == 1
    assert re.search(r"^minddpm train: .+", said, re.MULTILINE), said[-3000:]
    assert "Traceback" not in said
    # what there was is whole
    minddpm.load(tmp_path / "a")
    load_checkpoint(tmp_path / "a" / "state.safetensors")


@pytest.mark.slow
def test_kill_and_resume(tmp_path, monkeypatch, capsys) -> None:
    """A short run of the script; tests/app/kill_and_resume.py is the long one."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    faults = kill_and_resume(tmp_path, 2, steps=25)
    table = io.StringIO(capsys.readouterr().out)
    assert not faults, "".join(table)
