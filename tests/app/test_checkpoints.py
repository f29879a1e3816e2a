"""Trainings in files: broken off anywhere, they go on as if nothing had happened."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import minddpm
from app.shared import (
    assert_equal,
    assert_same_training,
    at_step,
    begun,
    interrupted_by,
)
from minddpm import (
    DDPM,
    MLP,
    History,
    Schedule,
    TrainConfig,
    load_checkpoint,
    save_checkpoint,
)
from minddpm.app import files, processes
from minddpm.app.muon import Muon
from minddpm.train import train

CONFIG = TrainConfig(steps=8, batch_size=4, warmup=2)
Maker = Callable[[DDPM], torch.optim.Optimizer | None]
OPTIMISERS: dict[str, Maker] = {
    "none of one's own": lambda ddpm: None,
    "AdamW": lambda ddpm: torch.optim.AdamW(
        ddpm.parameters(), 1e-3, (0.8, 0.95), eps=1e-6, weight_decay=0.1
    ),
    "Muon": lambda ddpm: Muon(ddpm.parameters(), momentum=0.9, weight_decay=0.1),
}
# Muon's own steps are for kernels, which an MLP has not
KINDS = [
    (n, o) for n in ("MLP", "UNet") for o in OPTIMISERS if (n, o) != ("MLP", "Muon")
]
every_kind = pytest.mark.parametrize(("network", "optimiser"), KINDS)


def trained(network: str, optimiser: str, **options) -> tuple[DDPM, History]:
    """A model after eight steps, and its history."""
    ddpm, samples = begun(network)
    own = OPTIMISERS[optimiser](ddpm)
    return ddpm, train(ddpm, samples, CONFIG, optimiser=own, progress=False, **options)


# --- there and back -------------------------------------------------------------------


@every_kind
def test_a_training_comes_back_as_it_ended(tmp_path, network, optimiser) -> None:
    ddpm, history = trained(network, optimiser)
    assert history.ema.swapped
    save_checkpoint(tmp_path / "a", ddpm, history)
    loaded = load_checkpoint(tmp_path / "a")
    assert_same_training((ddpm, history), loaded)
    assert loaded[1].stopped == "steps"
    assert loaded[1].seconds == history.seconds
    # the raw weights come back too
    for model, kept in ((ddpm, history), loaded):
        kept.ema.swap()
        model.eval()
    assert_equal(ddpm, loaded[0])


@every_kind
@pytest.mark.parametrize("swapped", [False, True])
def test_a_training_comes_back_as_it_was_under_way(
    tmp_path, network: str, optimiser: str, swapped: bool
) -> None:
    def keep(history: History) -> None:
        if history.step != 5:
            return
        if swapped:
            history.ema.swap()
        save_checkpoint(tmp_path / "a", history.ddpm, history)
        loaded = load_checkpoint(tmp_path / "a")
        assert_same_training((history.ddpm, history), loaded)
        if swapped:
            history.ema.swap()

    ddpm, whole = trained(network, optimiser, callback=keep)
    again, history = load_checkpoint(tmp_path / "a")
    assert (history.step, history.stopped) == (5, "running")
    assert history.ema.swapped == swapped
    if network == "UNet":
        moments = [kept["exp_avg"] for kept in history.optimiser.state.values()]
        kernels = [x for x in moments if x.ndim == 4 and x.shape[2:] == (3, 3)]
        assert len(kernels) > 5
        layout = torch.channels_last
        assert all(x.is_contiguous(memory_format=layout) for x in kernels)
    resumed = train(again, begun(network)[1], progress=False, resume=history)
    assert_same_training((ddpm, whole), (again, resumed))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_before_the_first_step_there_are_no_moments(tmp_path, optimiser: str) -> None:
    ddpm, samples = begun("UNet")
    start = History(ddpm, CONFIG, OPTIMISERS[optimiser](ddpm))
    save_checkpoint(tmp_path / "a", ddpm, start)
    loaded, start = load_checkpoint(tmp_path / "a")
    assert start.step == len(start.losses) == 0
    resumed = train(loaded, samples, progress=False, resume=start)
    assert_same_training(trained("UNet", optimiser), (loaded, resumed))


def test_a_model_is_no_training_but_a_training_is_a_model(tmp_path) -> None:
    ddpm, history = trained("MLP", "AdamW")
    minddpm.save(tmp_path / "model", ddpm)
    save_checkpoint(tmp_path / "state", ddpm, history)
    with pytest.raises(
        ValueError, match=r"model holds a model without its training; minddpm\.load"
    ):
        load_checkpoint(tmp_path / "model")
    assert_equal(ddpm, minddpm.load(tmp_path / "state"))


# --- interrupted and resumed ----------------------------------------------------------


def weights(ddpm: DDPM, history: History) -> list[torch.Tensor]:
    """The averaged weights, the raw ones, and the losses."""
    averaged = [p.detach().clone() for p in ddpm.parameters()]
    return [*averaged, *(x.clone() for x in history.ema.shadow), history.losses]


@pytest.mark.parametrize("network", ["MLP", "UNet"])
@pytest.mark.parametrize("through_a_file", [False, True])
@pytest.mark.parametrize("how", ["raise", "SIGINT"])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(
    tmp_path, monkeypatch, network: str, through_a_file: bool, how: str
) -> None:
    """With times drawn late, by the history's own generator."""
    config = TrainConfig(steps=16, batch_size=5, warmup=3)

    def go_on(ddpm: DDPM, history: History, callback=None) -> History:
        loss_of = processes.batch_loss(ddpm, history.generator, time_power=0.5)
        options = {"callback": callback, "loss_of": loss_of, "resume": history}
        return train(ddpm, samples, progress=False, **options)

    ddpm, samples = begun(network, 21)
    start = History(ddpm, config, OPTIMISERS["Muon"](ddpm))
    expected = weights(ddpm, go_on(ddpm, start))
    ddpm, samples = begun(network, 21)
    history = History(ddpm, config, OPTIMISERS["Muon"](ddpm))
    for step in (1, 7, 8):

        def stop(history: History, step: int = step) -> None:
            if history.step == step:
                raise KeyboardInterrupt

        signal_at = step - history.step if how == "SIGINT" else 0
        with at_step(monkeypatch, signal_at, interrupted_by(signal.SIGINT)):
            history = go_on(ddpm, history, stop if how == "raise" else None)
        assert (history.stopped, history.step) == ("interrupted", step)
        if through_a_file:
            save_checkpoint(tmp_path / f"{step}", ddpm, history)
            ddpm, history = load_checkpoint(tmp_path / f"{step}")
    history = go_on(ddpm, history)
    assert (history.stopped, history.step) == ("steps", 16)
    for one, other in zip(expected, weights(ddpm, history), strict=True):
        assert torch.equal(one, other)


def test_ctrl_c_waits_for_the_end_of_the_step_and_a_second_one_does_not(
    monkeypatch,
) -> None:
    before = signal.getsignal(signal.SIGINT)
    config = TrainConfig(steps=10, batch_size=5)
    for presses, steps in ((1, 4), (2, 3)):
        ddpm, samples = begun("MLP")

        def press(presses: int = presses) -> None:
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)

        with at_step(monkeypatch, 4, press):
            history = train(ddpm, samples, config, progress=False)
        assert (history.stopped, history.step) == ("interrupted", steps)
        assert signal.getsignal(signal.SIGINT) is before


def test_a_training_that_is_done_stays_as_it_is() -> None:
    ddpm, samples = begun("MLP")
    config = TrainConfig(steps=5, batch_size=5)
    history = train(ddpm, samples, config, progress=False)
    expected = weights(ddpm, history)
    again = train(ddpm, samples, progress=False, resume=history)
    for one, other in zip(expected, weights(ddpm, again), strict=True):
        assert torch.equal(one, other)
    # and a longer one goes on from there
    longer = replace(config, steps=8)
    more = train(ddpm, samples, longer, progress=False, resume=again)
    assert more.step == len(more.losses) == 8
    assert torch.equal(more.losses[:5], expected[-1])


# --- what is refused ------------------------------------------------------------------


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    """The file of a training."""
    path = tmp_path_factory.mktemp("state") / "a"
    save_checkpoint(path, *trained("MLP", "AdamW"), data="points")
    return path


@pytest.fixture
def refused(tmp_path, state) -> Callable[..., None]:
    """Return a test of whether a file with other parts is refused by its name."""
    tensors, header = files.read(state)

    def check(match: str, changes: dict[str, torch.Tensor | None], **told) -> None:
        altered = {k: v for k, v in (tensors | changes).items() if v is not None}
        files.write(tmp_path / "b", altered, header | told)
        with pytest.raises(ValueError, match=f"/b does not fit this version.*{match}"):
            load_checkpoint(tmp_path / "b")

    return check


def test_a_part_missing_or_of_another_shape_or_dtype_is_refused(state, refused) -> None:
    """Also one that PyTorch would broadcast or cast in silence."""
    tensors, _ = files.read(state)
    for name in (
        *("shadow.0", "shadow.1", "moments.0.exp_avg", "moments.1.exp_avg_sq"),
        *("moments.0.step", "losses", "queue", "generator"),
    ):
        last = name.removeprefix("moments.0.").removeprefix("moments.1.")
        refused(f"KeyError: '{last}'", {name: None})
        value = tensors[name]
        for other in (value.double(), value.reshape(-1)[:1][None], value[None, None]):
            refused(f"{last} must be ", {name: other})


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"seconds": float("nan")}, "seconds must be finite"),
        ({"seconds": "1"}, "seconds must be a number"),
        ({"stopped": "tired"}, "stopped must be one of .*'tired'"),
        ({"stopped": ["time"]}, "stopped must be one of"),
        ({"updates": -1}, "updates must be at least 0"),
        ({"updates": 1.5}, "updates must be an int"),
        ({"swapped": "no"}, "swapped must be a bool"),
        ({"config": None}, "TypeError"),
        ({"config": {"steps": -1}}, "steps must be at least 1, got -1"),
        ({"config": {"time_power": 1.0}}, "unexpected keyword argument 'time_power'"),
        ({"optimiser": None}, "TypeError"),
        ({"optimiser": {"lr": 0.1}}, "'kind'"),
        ({"optimiser": {"kind": "SGD", "lr": 0.1}}, "KeyError: 'SGD'"),
        ({"optimiser": {"kind": ["AdamW"], "lr": 0.1}}, "TypeError"),
        ({"optimiser": {"kind": "AdamW", "lr": -1}}, "learning rate: -1"),
        ({"optimiser": {"kind": "AdamW", "lr": 0.1, "shell": 1}}, "'shell'"),
        ({"optimiser": {"kind": "AdamW", "lr": 0.1, "betas": 3}}, "TypeError"),
    ],
    ids=str,
)
def test_a_setting_that_is_none_is_refused(refused, told: dict, message: str) -> None:
    refused(message, {}, **told)


class Own(Muon):
    """An optimiser that the file would not rebuild."""


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda ps: torch.optim.SGD(ps), TypeError, "one of AdamW, Muon .* got SGD"),
        (lambda ps: Own(ps), TypeError, "one of AdamW, Muon to be kept, got Own"),
        (lambda ps: torch.optim.AdamW(ps[:3]), ValueError, r"got 1 of \[3\]"),
        (lambda ps: torch.optim.AdamW(ps[::-1]), ValueError, r"ddpm\.parameters\(\)"),
        (
            lambda ps: torch.optim.AdamW([{"params": ps[:3]}, {"params": ps[3:]}]),
            ValueError,
            r"optimiser must have one group, .*got 2 of \[3, ",
        ),
        (
            lambda ps: torch.optim.AdamW(ps, amsgrad=True),
            ValueError,
            "amsgrad must be False for optimiser to be kept, got True",
        ),
    ],
)
def test_an_optimiser_that_would_come_back_as_another_is_not_kept(
    tmp_path, make, error, message: str
) -> None:
    """Training by it is fine; a file of it would lie."""
    ddpm, samples = begun("MLP")
    optimiser = make(list(ddpm.parameters()))
    history = train(ddpm, samples, CONFIG, optimiser=optimiser, progress=False)
    assert history.step == 8
    with pytest.raises(error, match=message):
        save_checkpoint(tmp_path / "a", ddpm, history)
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_not_the_fault_of_the_file(state) -> None:
    for read in (minddpm.load, load_checkpoint):
        with pytest.raises(
            ValueError, match=r"^device must name a device of this mach"
        ):
            read(state, device="cuda:99")


# --- files of the version before ------------------------------------------------------

# version1.safetensors: an MLP(2, 8, 3, n_layers=2) on the 18 points of `begun`, written
# after step 5 of 8 by what was minddpm.history then, with these settings:
#   TrainConfig(steps=8, batch_size=4, optimiser="muon", warmup=2, weight_decay=0.1,
#               adam_betas=(0.8, 0.95), time_power=0.5, max_seconds=1e9, seed=3)
OLD = Path(__file__).parent / "version1.safetensors"
LOSSES = (
    *(1.0899083614349365, 1.213778018951416, 1.3977686166763306, 2.4633853435516357),
    *(1.4086202383041382, 1.2057207822799683, 2.3153834342956543, 1.2107609510421753),
)
NORM = 37.195538  # sum of the squares of all averaged weights after step 8


def test_a_training_of_version_1_goes_on_as_it_would_have() -> None:
    """The losses and weights are those to which version 1 came; rounding may differ."""
    tensors, header = files.read(OLD)
    assert header["version"] == 1
    told = {"data": "points", "time_power": 0.5, "bf16": False, "compile": False}
    assert header["about"] == told
    ddpm, history = load_checkpoint(OLD)
    assert isinstance(ddpm.nn_model, MLP)
    assert torch.equal(ddpm.schedule.alpha_bars, Schedule.cosine(9).alpha_bars)
    assert history.config == TrainConfig(
        steps=8, batch_size=4, optimiser="muon", warmup=2, max_seconds=1e9, seed=3
    )
    assert type(history.optimiser) is Muon
    group = history.optimiser.param_groups[0]
    assert (group["betas"], group["weight_decay"]) == ((0.8, 0.95), 0.1)
    assert (history.step, history.stopped) == (5, "running")
    assert history.losses.tolist() == list(LOSSES[:5])
    for k, shadow in enumerate(history.ema.shadow):
        assert torch.equal(shadow, tensors[f"shadow.{k}"])
    loss_of = processes.batch_loss(ddpm, history.generator, time_power=0.5)
    samples = begun("MLP")[1]
    train(ddpm, samples, progress=False, resume=history, loss_of=loss_of)
    assert history.losses.tolist() == pytest.approx(list(LOSSES), rel=1e-5)
    squares = sum(float(p.detach().double().square().sum()) for p in ddpm.parameters())
    assert squares == pytest.approx(NORM, rel=1e-5)


def test_an_old_training_saved_again_is_one_of_today(tmp_path) -> None:
    old = load_checkpoint(OLD)
    save_checkpoint(tmp_path / "a", *old)
    assert files.read(tmp_path / "a")[1]["version"] == files.VERSION == 2
    assert_same_training(old, load_checkpoint(tmp_path / "a"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header["config"].pop("optimiser"), "KeyError: 'optimiser'"),
        (lambda header: header["config"].update(optimiser="sgd"), "KeyError: 'sgd'"),
        (lambda header: header["config"].pop("bf16"), "KeyError: 'bf16'"),
        (lambda header: header.pop("about"), "KeyError: 'about'"),
        (lambda header: header.update(config=7), "TypeError"),
    ],
)
def test_an_old_training_with_a_setting_missing_is_refused(
    tmp_path, monkeypatch, change, message: str
) -> None:
    monkeypatch.setattr(files, "_as_today", lambda header: header)
    tensors, header = files.read(OLD)
    change(header)
    files.write(tmp_path / "b", tensors, header)  # "version": 1 is in the header
    monkeypatch.undo()
    for read in (minddpm.load, load_checkpoint):
        with pytest.raises(ValueError, match=rf"/b does not fit .*{message}"):
            read(tmp_path / "b")


def test_a_checkpoint_of_another_default_dtype_is_taken_up(tmp_path):
    torch.set_default_dtype(torch.float64)
    try:
        ddpm = DDPM(MLP(dim=2, n_feat=8).float(), n_T=10)
        x0 = torch.zeros(8, 2, dtype=torch.float32)
        history = train(ddpm, (x0, None), CONFIG, progress=False)
        save_checkpoint(tmp_path / "state", ddpm, history)
    finally:
        torch.set_default_dtype(torch.float32)
    assert load_checkpoint(tmp_path / "state")[1].losses.equal(history.losses)
