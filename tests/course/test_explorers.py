"""The explorers: every control at both its ends, without a browser and in a kernel.

An explorer is found by itself: a module of minddpm.course.explorers with `CONTROLS`,
`draw` and `<name>_explorer`.
"""

import importlib
import inspect
import io
import itertools
import json
import pkgutil
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch.testing import assert_close

from minddpm import DDPM, MLP, Schedule, Step, ancestral, data, ddim, sample
from minddpm.course import explorers
from minddpm.course.explorers import (
    context_dropout,
    guidance,
    reverse_sampling,
    stored_run,
)
from minddpm.course.explorers import panel as shell
from minddpm.course.kit import law as laws
from minddpm.course.kit.canvas import Canvas, Picture, _encode
from minddpm.course.kit.controls import Button, Choice, Slider, Toggle, panel
from minddpm.course.kit.law import Law

MODULES = {
    info.name: importlib.import_module(f"{explorers.__name__}.{info.name}")
    for info in pkgutil.iter_modules(explorers.__path__)
    if info.name not in ("canvas", "law", "panel")
}
each = pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
Settings = dict[str, Any]


# --- settings -------------------------------------------------------------------------


def values(control: shell.Control) -> list[Any]:
    """Return the ends of a control's range, or all its options."""
    if isinstance(control, Slider):
        return [control.values[0], control.values[-1]]
    if isinstance(control, Choice):
        return list(control.options)
    return [False, True] if isinstance(control, Toggle) else [None]


def start(module: ModuleType) -> Settings:
    return {c.name: getattr(c, "value", None) for c in module.CONTROLS}


def bounded(module: ModuleType, settings: Settings) -> Settings:
    """Keep every slider within the limit that another one sets, as the panel does."""
    limited = dict(settings)
    for c in module.CONTROLS:
        if isinstance(c, Slider) and c.at_most:
            limited[c.name] = min(settings[c.name], settings[c.at_most])
    return limited


def corners(module: ModuleType) -> Iterator[Settings]:
    """Yield all combinations of extremes."""
    names = [c.name for c in module.CONTROLS]
    for combination in itertools.product(*map(values, module.CONTROLS)):
        yield bounded(module, dict(zip(names, combination, strict=True)))


def anywhere(module: ModuleType, rng: random.Random) -> Settings:
    """Return any setting that the controls allow, listed values or not."""

    def value(c: shell.Control) -> Any:
        if not isinstance(c, Slider):
            return rng.choice(values(c))
        low, high = values(c)
        whole = all(isinstance(value, int) for value in c.values)
        return rng.randint(low, high) if whole else rng.uniform(low, high)

    return bounded(module, {c.name: value(c) for c in module.CONTROLS})


def assert_sound(picture: Picture) -> np.ndarray:
    """Return the pixels of a picture, once it is known to be one."""
    assert picture.png.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(picture.png)) as image:
        image.load()
        assert image.size == picture.size
        pixels = np.asarray(image.convert("RGB"))
    assert pixels[::5].std() > 1, "the picture is empty"
    assert picture.alt
    assert picture.status
    for text in (picture.alt, picture.status, picture.warning):
        assert not re.search(r"\b(nan|inf|None|tensor|array)\b", text), text
    return pixels


def attempt(module: ModuleType, settings: Settings) -> Picture | None:
    """Return the picture, or None for a setting that is refused with a reason."""
    try:
        picture = module.draw(**settings)
    except ValueError as error:
        reason = str(error)
    else:
        assert_sound(picture)
        return picture
    assert len(reason) > 20, f"{settings}: {reason}"
    return None


# --- what an explorer is made of ------------------------------------------------------


@each
def test_controls_and_draw_agree(module):
    names = [c.name for c in module.CONTROLS]
    assert len(set(names)) == len(names)
    assert set(inspect.signature(module.draw).parameters) == set(names)
    by_name = {c.name: c for c in module.CONTROLS}
    for c in module.CONTROLS:
        assert 0 < len(c.label) <= 30
        if isinstance(c, Slider):
            assert list(c.values) == sorted(set(c.values))
            assert c.values[0] <= c.value <= c.values[-1]
            assert isinstance(c.values, range) or not (c.play or c.at_most)
            assert c.at_most is None or isinstance(by_name[c.at_most], Slider)
        if isinstance(c, Choice):
            assert c.value in c.options
        if getattr(c, "when", None):
            assert c.when[1] in values(by_name[c.when[0]])


@each
def test_it_is_exported_under_its_name(module):
    name = f"{module.__name__.rpartition('.')[2]}_explorer"
    assert name in explorers.__all__
    assert getattr(explorers, name) is getattr(module, name)


def test_an_unknown_explorer_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no 'nonsense' .* are .*schedule"):
        explorers.nonsense  # noqa: B018


# --- drawing --------------------------------------------------------------------------


@each
def test_every_corner_is_a_sound_picture_or_explained(module):
    size = module.draw(**start(module)).size
    assert size[0] == 900, "as wide as the other figures of the course"
    assert size[1] <= 420, "with controls and numbers it must fit on a projector"
    seen = {c.name: set() for c in module.CONTROLS}
    for settings in corners(module):
        if picture := attempt(module, settings):
            assert picture.size == size
            for name, value in settings.items():
                seen[name].add(value)
    for c in module.CONTROLS:
        missing = set(values(c)) - seen[c.name]
        assert not missing, f"{c.name} = {missing} is possible in no corner"


@each
def test_any_setting_between_will_do(module):
    rng = random.Random(0)
    drawn = [attempt(module, anywhere(module, rng)) for _ in range(30)]
    assert sum(picture is not None for picture in drawn) >= 10


@each
def test_every_control_changes_something(module):
    rng = random.Random(3)  # a rescaling by 1000/T does nothing at T = 1000
    begins = [start(module)] + [anywhere(module, rng) for _ in range(5)]

    def changes(c: shell.Control, begin: Settings) -> bool:
        if needed := getattr(c, "when", None):  # else it is switched off
            begin = begin | {needed[0]: needed[1]}
        moved = values(c)
        if isinstance(c, Button):
            others = {name: value for name, value in begin.items() if name != c.name}
            moved = list(itertools.islice(c.work(**others), 2))
        seen = [attempt(module, begin)]
        seen += [attempt(module, bounded(module, begin | {c.name: v})) for v in moved]
        return len({(p.png, p.status) for p in seen if p is not None}) > 1

    for c in module.CONTROLS:
        assert any(changes(c, begin) for begin in begins), f"{c.name} changes nothing"


@each
def test_a_picture_depends_on_its_settings_only(module):
    rng = random.Random(1)
    settings = start(module)
    first = module.draw(**settings)
    assert module.draw(**settings) == first
    for _ in range(10):
        attempt(module, anywhere(module, rng))
        assert module.draw(**settings) == first


@each
def test_text_is_legible_and_inside_the_figure(module, monkeypatch):
    canvases = []
    png = Canvas.png
    monkeypatch.setattr(Canvas, "png", lambda c: (canvases.append(c), png(c))[1])
    rng = random.Random(2)
    for settings in [start(module)] + [anywhere(module, rng) for _ in range(4)]:
        if attempt(module, settings) is None:
            continue
        figure = canvases.pop().figure
        texts = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible())
        for text in texts:
            box = text.get_window_extent()
            outside = min(box.x0, box.y0) < -1 or box.x1 > figure.bbox.x1 + 1
            # ticks beyond the limits have text, but are not drawn
            if not text.get_text().strip() or (outside and text.axes is None):
                continue
            assert text.get_fontsize() >= 11, text
            if text.get_animated():
                assert not outside, f"{text.get_text()} leaves the figure"


@pytest.mark.parametrize("name", ["forward_chain", "loss_weights", "schedule"])
def test_every_dot_is_whole_and_on_its_axes(name):
    module = MODULES[name]
    rng = random.Random(3)
    firsts = [start(module) | {"t": t} for t in (1, 1000)]
    for settings in firsts + [anywhere(module, rng) for _ in range(20)]:
        attempt(module, settings)
        scene = module._scene()
        for dot in getattr(scene, "dots", None) or [scene.dot]:
            assert not dot.get_clip_on(), "half of it is cut off on the edge"
            ((x, y),) = dot.get_xydata()
            (left, right), (low, high) = dot.axes.get_xlim(), dot.axes.get_ylim()
            assert left <= x <= right
            assert np.isnan(y) or low < y < high


# --- the forward chain ----------------------------------------------------------------


@pytest.mark.parametrize("where", MODULES["forward_chain"].CONTROLS[-1].options)
@pytest.mark.parametrize("t", [0, 30, 1000])
def test_the_law_is_scaled_by_the_root_of_its_peak_and_stays_on_its_axis(where, t):
    module = MODULES["forward_chain"]
    module.draw(t, 1000, where)
    scene = module._scene()
    law, x = scene.curve.get_data()
    area = law.sum() * (x[1] - x[0])
    assert area * law.max() == pytest.approx(1, abs=0.01)
    end = scene.curve.axes.get_xlim()[1]
    heights, edges, _ = scene.bars.get_data()
    assert max(law.max(), heights.max()) < end
    assert (heights * np.diff(edges)).sum() == pytest.approx(area, rel=0.01)


# --- the schedule explorer ------------------------------------------------------------


class TestSchedule:
    BEGIN = start(MODULES["schedule"])

    @pytest.mark.parametrize(
        ("change", "schedule"),
        [
            ({}, Schedule.linear()),
            ({"T": 50}, Schedule.linear(50)),
            ({"T": 50, "rescale": True}, Schedule.linear(50, rescale=True)),
            ({"beta_1": 1e-3, "beta_T": 0.1}, Schedule.linear(1000, 1e-3, 0.1)),
            ({"kind": "cosine", "T": 20}, Schedule.cosine(20)),
            ({"kind": "cosine"}, Schedule.cosine()),
            ({"kind": "sigmoid", "T": 137}, Schedule.sigmoid(137)),
        ],
    )
    def test_numbers_are_the_packages(self, change, schedule):
        for t in (1, schedule.T // 2, schedule.T):
            settings = self.BEGIN | change | {"t": t}
            status = MODULES["schedule"].draw(**settings).status
            numbers = re.findall(r"-?\d[\d.]*(?:e-?\d+)?", status.replace("log₁₀", ""))
            names = ("t", "T", "beta", "signal", "snr", "end")
            found = dict(zip(names, numbers, strict=False))  # there are more
            assert int(found["t"]) == t
            assert int(found["T"]) == schedule.T
            exact = schedule.betas[t], schedule.sqrt_alpha_bars[t]
            assert float(found["beta"]) == pytest.approx(float(exact[0]), rel=1e-3)
            assert float(found["signal"]) == pytest.approx(float(exact[1]), rel=5e-3)
            log_snr = float(schedule.snr[t].log10())
            assert float(found["snr"]) == pytest.approx(log_snr, abs=6e-3)
            end = float(schedule.sqrt_alpha_bars[-1])
            assert float(found["end"]) == pytest.approx(end, rel=5e-3)

    @pytest.mark.parametrize("change", [{"kind": "cosine"}, {"beta_T": 0.5}])
    def test_every_dot_is_on_its_axis_to_the_last_step(self, change):
        module = MODULES["schedule"]
        picture = module.draw(**self.BEGIN | change | {"t": 1000})
        for dot in module._scene().dots:
            ((x, y),) = dot.get_xydata()
            (left, right), (low, high) = dot.axes.get_xlim(), dot.axes.get_ylim()
            assert left < x < right
            assert low < y < high
        assert "log₁₀ SNR = -38.00" not in picture.status  # that is float32's end

    @pytest.mark.parametrize(
        ("change", "percent"),
        [({"T": 400, "t": 300}, 13), ({"T": 50, "t": 9}, 78), ({"beta_T": 0.01}, 8)],
    )
    def test_a_red_flag_where_the_picture_survives(self, change, percent):
        picture = MODULES["schedule"].draw(**self.BEGIN | change)
        assert f"at {percent} % of its contrast" in picture.warning
        red = (assert_sound(picture) == (0xB3, 0x26, 0x1E)).all(axis=2).sum()
        calm = assert_sound(MODULES["schedule"].draw(**self.BEGIN))
        assert red > 1000 > (calm == (0xB3, 0x26, 0x1E)).all(axis=2).sum()

    @pytest.mark.parametrize(
        "change", [{}, {"T": 50, "t": 9, "rescale": True}, {"kind": "cosine"}]
    )
    def test_no_red_flag_where_it_does_not(self, change):
        assert MODULES["schedule"].draw(**self.BEGIN | change).warning == ""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"T": 10, "t": 1, "rescale": True}, "multiplied by 1000/T = 100"),
            ({"beta_1": 0.02, "beta_T": 0.01}, "0 < beta_1 < beta_T < 1"),
            ({"T": 100, "t": 101}, "t must be in 1…100, got 101"),
            ({"kind": "quadratic"}, "kind must be one of linear, cosine, sigmoid"),
        ],
    )
    def test_what_is_impossible_says_why(self, change, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            MODULES["schedule"].draw(**self.BEGIN | change)


# --- exact laws, and the samplers' explorers ------------------------------------------


def five_errors(samples: torch.Tensor, law: Law) -> None:
    """Compare mean, standard deviation and sixths of samples, (N,), with a law."""
    n = len(samples)
    mean, std = law.moments()
    centred = samples.double() - samples.double().mean()
    found = centred.square().mean().sqrt()
    assert abs(float(samples.double().mean()) - mean) < 5 * found / n**0.5
    kurtosis = (centred / found).pow(4).mean()
    assert abs(float(found) - std) < 5 * found * ((kurtosis - 1) / (4 * n)) ** 0.5
    edges = np.array([-9.0, -0.75, -0.4, 0.05, 0.35, 0.75, 9.0])
    share = law.shares(edges)
    assert share.sum() == pytest.approx(1)
    measured = np.histogram(samples, edges)[0] / n
    due = n * share > 25  # fewer are not Gaussian, and would be missing elsewhere
    error = np.sqrt(share[due] * (1 - share[due]) / n)
    assert (np.abs(measured - share)[due] < 5 * error).all()


class TestLaw:
    def test_linear_steps_follow_the_two_line_recursion(self):
        mean, variance = 0.0, 1.0
        gains = [0.7, 0.9, 0.8, 0.5]
        sigmas = np.array([0.3, 0.05, 0.0, 0.1])
        for gain, sigma in zip(gains, sigmas, strict=True):
            mean, variance = gain * mean + 0.2, gain**2 * variance + sigma**2
        sent = np.stack([gain * laws.grid() + 0.2 for gain in gains])
        law = laws.carry(laws.normal(), sent, sigmas)
        assert law.moments() == pytest.approx((mean, variance**0.5), abs=1e-6)
        edges = np.linspace(-0.5, 1.5, 21)
        normal = torch.distributions.Normal(mean, variance**0.5)
        exact = normal.cdf(torch.tensor(edges)).diff()
        np.testing.assert_allclose(law.shares(edges), exact, atol=1e-4)

    @pytest.mark.parametrize("fine", [1, 4])
    def test_without_any_noise_it_is_a_change_of_variable(self, fine):
        sent = np.stack([np.tanh(laws.grid(fine)), laws.grid(fine) ** 3])
        law = laws.carry(laws.normal(fine), sent, np.zeros(2))
        edges = np.array([-1, -0.1, 0.01, 0.3, 1])
        back = np.arctanh(np.cbrt(edges).clip(-1 + 1e-12, 1 - 1e-12))
        exact = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(back)).diff()
        np.testing.assert_allclose(law.shares(edges), exact, atol=2e-4)

    def test_moments_up_to_the_third_survive_the_grid(self):
        x = np.random.default_rng(0).uniform(-4, 4, (1, 512))
        places, shares = laws._neighbours(x)
        grid = laws.grid()[places.reshape(4, -1)]
        for power in range(4):
            np.testing.assert_allclose((shares[0] * grid**power).sum(0), x[0] ** power)

    def test_a_part_has_its_own_spread(self):
        law = Law(np.array([-1.0, 1.0, 3.0]), np.array([0.5, 0.25, 0.25]))
        assert law.part(0, 9) == pytest.approx((0.5, 1.0))
        assert law.part(7, 9) == (0.0, 0.0)


BETA_TILDE, BETA = "ancestral, σ² = β̃", "ancestral, σ² = β"


def by_package(
    n: int, seed: int, sampler: str, T: int, rescale: bool, clamp: str, **rest: Any
) -> torch.Tensor:
    """Sample with the package, and its steps, for what the explorer shows; (K+1, n)."""
    mixture = reverse_sampling._mixture(T, rescale)
    ddpm = DDPM(mixture, schedule=mixture.schedule)
    draws = torch.Generator().manual_seed(seed)
    xs = [torch.randn(n, 1, generator=draws)]
    clip_x0 = 1.0 if clamp == "x̂_0" else None
    variance = "posterior" if sampler == BETA_TILDE else "beta"
    if clamp == "x_t":  # which no sampler of the package offers
        for t in range(T, 0, -1):
            x_s, _ = ddpm.p_step(xs[-1], t, variance=variance, generator=draws)
            xs.append(x_s.clamp(-1, 1))
    elif sampler == "DDIM":
        how = {"steps": rest["steps"], "eta": rest["eta"], "clip_x0": clip_x0}
        xs += [step.x_s for step in ddim(ddpm, xs[0], generator=draws, **how)]
    else:
        how = {"variance": variance, "clip_x0": clip_x0}
        xs += [step.x_s for step in ancestral(ddpm, xs[0], generator=draws, **how)]
    if rest["last"]:
        z = torch.randn(n, 1, generator=draws)
        xs[-1] = xs[-1] + ddpm.betas[1].sqrt() * z
    return torch.cat(xs, dim=1).T


class TestReverseSampling:
    BEGIN = start(reverse_sampling)
    sampled = pytest.mark.parametrize(
        "change",
        [
            {},
            {"sampler": BETA_TILDE, "T": 25, "rescale": False},
            {"last": True},
            {"clamp": "x̂_0", "T": 100},
            {"clamp": "x_t"},
            {"clamp": "x_t", "sampler": BETA_TILDE, "T": 100, "rescale": False},
            {"sampler": "DDIM"},
            {"sampler": "DDIM", "steps": 50},
            {"sampler": "DDIM", "steps": 3, "eta": 0.1},
            {"sampler": "DDIM", "steps": 7, "eta": 1.0, "clamp": "x̂_0"},
            {"sampler": "DDIM", "steps": 100, "T": 1000, "rescale": False},
        ],
        ids=str,
    )

    @sampled
    def test_the_paths_are_the_packages(self, change):
        settings = self.BEGIN | change
        settings["steps"] = min(settings["steps"], settings["T"])
        exact = by_package(reverse_sampling.PATHS, 0, **settings)
        paths = torch.from_numpy(reverse_sampling.output(**settings).paths)
        assert_close(paths.float(), exact, atol=3e-3, rtol=0)

    @sampled
    def test_the_law_is_that_of_the_packages_samples(self, change):
        settings = self.BEGIN | change
        samples = by_package(20_000, 1, **settings)[-1]
        five_errors(samples, reverse_sampling.output(**settings).law)

    @pytest.mark.parametrize("settings", [(25, True), (50, False), (1000, False)])
    def test_the_denoiser_is_the_exact_one(self, settings):
        times = (settings[0], settings[0] // 2, 2, 1)
        x = torch.from_numpy(laws.grid(2))[:, None]
        mixture = reverse_sampling._mixture(*settings)
        exact = np.stack([mixture.denoise(x, t)[:, 0].numpy() for t in times])
        found = reverse_sampling._x0_hats(*settings, times, 2)
        np.testing.assert_allclose(found, exact, atol=1e-6)

    def test_numbers_are_those_of_the_law(self):
        w, m = np.array(reverse_sampling.WEIGHTS), np.array(reverse_sampling.MEANS)
        mean = w @ m
        std = (reverse_sampling.STD**2 + w @ m**2 - mean**2) ** 0.5
        for change in ({}, {"sampler": "DDIM"}, {"rescale": False}):
            settings = self.BEGIN | change
            law = reverse_sampling.output(**settings).law
            status = reverse_sampling.draw(**settings).status
            status = status.replace("√ᾱ_T", "").replace("η", "")
            found = [float(number) for number in re.findall(r"-?\d[\d.]*", status)]
            expected = [*law.moments(), mean, std, *law.part(0.35, 9)]
            assert found[:6] == pytest.approx(expected, abs=6e-4)
            assert found[6:8] == pytest.approx([w[2], reverse_sampling.STD], abs=1e-4)
            assert found[8] == pytest.approx(reverse_sampling.distance(law), abs=6e-4)
            assert found[9] == (10 if settings["sampler"] == "DDIM" else 50)
            schedule = Schedule.linear(50, rescale=settings["rescale"])
            end = float(schedule.sqrt_alpha_bars[-1])
            assert found[10] == pytest.approx(end, rel=0.05)

    def test_the_distance_is_0_to_itself_and_1_to_a_point_far_off(self):
        far = Law(np.array([8.0]), np.array([1.0]))
        assert reverse_sampling.distance(reverse_sampling.truth()) == 0
        assert reverse_sampling.distance(far) == pytest.approx(1, abs=1e-6)

    def test_ddim_with_all_steps_and_eta_1_is_ancestral(self):
        everything = {"sampler": "DDIM", "steps": 50, "eta": 1.0}
        one = reverse_sampling.output(**self.BEGIN | everything).law
        two = reverse_sampling.output(**self.BEGIN | {"sampler": BETA_TILDE}).law
        np.testing.assert_allclose(one.x, two.x, atol=1e-4)
        np.testing.assert_allclose(one.mass, two.mass, atol=1e-6)

    @pytest.mark.parametrize("sampler", [BETA, "DDIM"])
    def test_after_the_first_step_a_clamped_x_t_starts_from_the_range(self, sampler):
        walks = [
            reverse_sampling.walk(sampler, 50, True, clamp, 10, 0.5)
            for clamp in ("x_t", "nothing")
        ]
        clamped, free = (walk.sent for walk in walks)
        x = laws.grid(walks[0].fine)
        inside = abs(x) < 1 + 1e-9
        np.testing.assert_array_equal(clamped[0], free[0])
        np.testing.assert_array_equal(clamped[:, inside], free[:, inside])
        above = np.broadcast_to(
            free[1:, x.searchsorted(1 - 1e-9), None], (len(free) - 1, 3)
        )
        np.testing.assert_array_equal(clamped[1:, -3:], above)

    def test_one_variance_is_too_narrow_and_the_other_too_wide(self):
        width = {}
        for sampler in (BETA_TILDE, BETA):
            law = reverse_sampling.output(**self.BEGIN | {"sampler": sampler}).law
            width[sampler] = law.part(0.35, 9)[1]
        assert width[BETA_TILDE] < 0.07 < reverse_sampling.STD < 0.1 < width[BETA]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"last": True}, ["Noise of std 0.045 is added at the last step"]),
            ({"clamp": "x_t"}, ["x_t is clamped"]),
            ({"rescale": False}, ["√ᾱ_T = 0.78: q(x_T) is not N(0, 1)"]),
            (
                {"rescale": False, "clamp": "x_t", "last": True},
                ["is added", "x_t is clamped", "√ᾱ_T = 0.78"],
            ),
            ({"last": True, "sampler": BETA_TILDE}, []),
            ({"clamp": "x̂_0"}, []),
            ({}, []),
        ],
    )
    def test_a_red_flag_for_each_mistake(self, change, words):
        warning = reverse_sampling.draw(**self.BEGIN | change).warning
        assert all(word in warning for word in words)
        assert bool(warning) == bool(words)

    def test_more_steps_than_there_are_is_refused(self):
        with pytest.raises(ValueError, match="in 1…T, got steps = 51 for T = 50"):
            reverse_sampling.draw(**self.BEGIN | {"sampler": "DDIM", "steps": 51})


class TestGuidance:
    W, S = guidance._CONVENTIONS

    @pytest.mark.parametrize("label", [0, 1, 2])
    @pytest.mark.parametrize("w", [-1.5, -1.0, 0.0, 1.0, 4.0, 6.0])
    def test_the_law_is_that_of_the_packages_samples(self, w, label):
        mixture = guidance.mixture()
        ddpm = DDPM(mixture, schedule=mixture.schedule)
        draws = torch.Generator().manual_seed(label)
        x_T = torch.randn(10_000, 1, generator=draws)
        c = torch.full((10_000,), label)
        samples = sample(ancestral(ddpm, x_T, c, w=w, generator=draws))[:, 0]
        law = guidance.sampled(w, label)
        five_errors(samples, law)
        assert law.mass[abs(law.x) > 4.8].sum() < 1e-4, "the grid is too short"

    @pytest.mark.parametrize("label", [0, 1, 2])
    def test_the_product_at_weights_that_are_known(self, label):
        plain = guidance.product(0.0, label).moments()
        assert plain == pytest.approx((guidance.MEANS[label], guidance.STDS[label]))
        means, stds = np.array(guidance.MEANS), np.array(guidance.STDS)
        std = np.sqrt((stds**2 + means**2).mean() - means.mean() ** 2)
        everyone = guidance.product(-1.0, label).moments()
        assert everyone == pytest.approx((means.mean(), std), abs=1e-5)
        x = laws.grid(2)
        ratio = np.exp(3 * guidance._log_prob(label) - 2 * guidance._log_prob(None))
        mean = (ratio * x).sum() / ratio.sum()
        assert guidance.product(2.0, label).moments()[0] == pytest.approx(mean)

    def test_guidance_is_not_the_product(self):
        law, product = guidance.sampled(4.0, 0), guidance.product(4.0, 0)
        assert law.moments()[0] < product.moments()[0] - 0.2

    @pytest.mark.parametrize("w", [-1.5, -0.5, 0.0, 1.25, 6.0])
    def test_numbers_are_those_of_the_laws_in_either_convention(self, w):
        settings = {"w": w, "label": "right"}
        pictures = [
            guidance.draw(**settings, convention=convention)
            for convention in (self.W, self.S)
        ]
        expected = [
            guidance.MEANS[2],
            guidance.STDS[2],
            *guidance.product(w, 2).moments(),
            *guidance.sampled(w, 2).moments(),
        ]
        for picture, number in zip(pictures, (w, 1 + w), strict=True):
            first, second = picture.status.replace("−", "-").split("\n")
            found = re.findall(r"-?\d[\d.]*", second)
            assert list(map(float, found)) == pytest.approx(expected, abs=6e-4)
            assert float(re.match(r"[ws] = (\S+):", first)[1]) == number
        assert pictures[0].warning == pictures[1].warning

    @pytest.mark.parametrize("w", [-1.5, -0.5, 0.0, 2.0])
    def test_the_formula_is_the_guided_noise_in_either_convention(self, w):
        eps_c, eps_u = 0.3, 0.7
        for convention in (self.W, self.S):
            picture = guidance.draw(w=w, convention=convention, label="left")
            text = picture.status.partition("ε̃ = ")[2].partition("\n")[0]
            text = re.sub(r"(\d) (?=[ε(])", r"\1 * ", text.replace("−", "-"))
            text = text.replace("ε_c", "eps_c").replace("ε_∅", "eps_u")
            value = eval(text, {"eps_c": eps_c, "eps_u": eps_u})
            assert value == pytest.approx((1 + w) * eps_c - w * eps_u)

    @pytest.mark.parametrize(
        ("w", "words"),
        [
            (-1.5, "away from the class"),
            (-1.0, ""),
            (0.0, ""),
            (0.25, ""),
            (4.0, "less varied"),
        ],
    )
    def test_a_red_flag_where_it_costs(self, w, words):
        warning = guidance.draw(w=w, convention=self.W, label="left").warning
        assert words in warning
        assert bool(warning) == bool(words)


# --- context dropout ------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs() -> dict[float, context_dropout.Run]:
    """Train as the button does, to the end."""
    return {p: [*context_dropout.work(p)][-1] for p in (0.0, 0.1, 1.0)}


class TestContextDropout:
    def test_the_errors_are_those_of_random_draws(self):
        mixture = context_dropout._bench().mixture
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            model = DDPM(MLP(1, 16, n_classes=2), schedule=mixture.schedule)
        found = context_dropout.errors(context_dropout._answers(model))
        draws = torch.Generator().manual_seed(0)
        n = 50_000
        for t in (1, 2, 30, 100):
            x0, c = mixture.sample(n, generator=draws)
            x_t = model.q_sample(x0, t, generator=draws)
            for label, error in zip((c, None), found, strict=True):
                with torch.no_grad():
                    apart = model.predict_eps(x_t, t, label) - mixture.eps(
                        x_t, t, label
                    )
                squares = apart.double().square()[:, 0]
                se = float(squares.std()) / n**0.5
                assert abs(float(squares.mean()) - float(error[t - 1])) < 5 * se

    def test_the_labels_worth_is_the_error_of_ignoring_it(self):
        mixture = context_dropout._bench().mixture
        draws = torch.Generator().manual_seed(0)
        x0, c = mixture.sample(50_000, generator=draws)
        ddpm = DDPM(mixture, schedule=mixture.schedule)
        for t in (1, 10, 34, 90):
            x_t = ddpm.q_sample(x0, t, generator=draws)
            apart = ddpm.predict_eps(x_t, t, c) - ddpm.predict_eps(x_t, t)
            squares = apart.double().square()[:, 0]
            se = float(squares.std()) / len(squares) ** 0.5
            worth = float(context_dropout.worth()[t - 1])
            assert abs(float(squares.mean()) - worth) < 5 * se
        told, untold = context_dropout.errors(context_dropout._bench().exact)
        assert float(told.max()) == float(untold.max()) == 0

    def test_numbers_are_those_of_the_run(self, runs):
        for p, run in runs.items():
            told, untold = context_dropout.errors(run.eps_hat)
            worth = context_dropout.worth()
            status = context_dropout.draw(drop_prob=0.2, t=17, run=run).status
            found = re.findall(r"(?<![\w.])\d[\d.]*(?:e-\d+)?", status)
            numbers = [p, 400, 400, told.mean(), 17, told[16], untold.mean(), 17]
            numbers += [untold[16], worth.mean(), 17, worth[16], 0.2]
            found = [float(text.rstrip(".")) for text in found]
            assert found == pytest.approx([float(v) for v in numbers], rel=6e-3)

    def test_what_was_never_trained_is_far_off(self, runs):
        worth = float(context_dropout.worth().mean())
        errors = {
            p: [float(e.mean()) for e in context_dropout.errors(run.eps_hat)]
            for p, run in runs.items()
        }
        assert max(errors[0.1]) < worth / 4
        assert errors[0.0][0] < worth / 20 < worth / 2 < errors[0.0][1]
        assert errors[1.0][1] < worth / 20 < worth / 2 < errors[1.0][0]

    def test_a_red_flag_where_one_answer_was_never_trained(self, runs):
        def warning(p: float) -> str:
            return context_dropout.draw(drop_prob=0.5, t=1, run=runs[p]).warning

        assert "ε(x,∅) was never trained" in warning(0.0)
        assert "what c stands for was never learned" in warning(1.0)
        assert warning(0.1) == ""
        bench, eps_hat = context_dropout._bench(), runs[1.0].eps_hat
        apart = (eps_hat - bench.exact[:, 2:]).square() * bench.mass
        ignored = float(apart[:, :2].sum((1, 2)).mean())
        assert f"is {ignored:.2g} from the exact ε(x,∅)" in warning(1.0)

    def test_the_grey_curves_are_the_first_settings(self, runs):
        errors = context_dropout.errors(runs[0.1].eps_hat)
        stored = context_dropout.REFERENCE_TOLD, context_dropout.REFERENCE_UNTOLD
        marks = torch.tensor(context_dropout._MARKS)
        for error, curve in zip(errors, stored, strict=True):
            apart = (error[marks - 1] / torch.tensor(curve)).log()
            # rounding differs between machines, and training carries it on
            assert float(apart.square().mean().sqrt()) < 0.2

    def test_same_settings_same_run_whatever_is_looked_at(self):
        first, second = (next(context_dropout.work(0.2, t=t)) for t in (1, 50))
        assert_close(first.eps_hat, second.eps_hat, rtol=0, atol=0)
        assert (first.drop_prob, first.steps) == (0.2, 40)

    def test_a_time_that_is_none_is_refused(self):
        with pytest.raises(ValueError, match="t must be in 1…100, got t = 101"):
            context_dropout.draw(drop_prob=0.1, t=101, run=None)


# --- a stored run ---------------------------------------------------------------------


def film_of(shape: tuple[int, ...], n_steps: int = 4) -> list[Step]:
    draws = torch.Generator().manual_seed(0)
    times = range(10 * n_steps, 0, -10)
    return [Step(t, *torch.randn(2, *shape, generator=draws)) for t in times]


def shown(film: stored_run.Film) -> list[np.ndarray]:
    """Return the pixels of the three pictures that were drawn last."""
    return [cells._A for cells in film._scene.cells]


class TestStoredRun:
    def test_numbers_are_those_of_the_steps(self):
        steps = film_of((3, 1, 5, 4))
        film = stored_run.Film(steps)
        x0_hat = torch.stack([s.x0_hat for s in steps]).clamp(-1, 1)
        end = steps[-1].x_s.clamp(-1, 1)
        for which, chosen in (("all", slice(None)), ("3", slice(2, 3))):
            for k in (1, 2, 3):
                status = film.draw(k + 1, which).status
                found = re.findall(r"\d+\.?\d*", status.replace("x̂_0", ""))
                moved = (x0_hat[k] - x0_hat[k - 1])[chosen].square().mean().sqrt()
                ahead = (x0_hat[k] - end)[chosen].square().mean().sqrt()
                t, s = 40 - 10 * k, max(0, 30 - 10 * k)
                expected = [3, k + 1, 4, t, s, moved, ahead]
                expected = ([3] if which == "3" else []) + expected
                expected = list(map(float, expected))
                assert [float(v) for v in found[: len(expected)]] == pytest.approx(
                    expected, abs=6e-4
                )
        assert "the first x̂_0" in film.draw(1, "2").status

    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_pictures_are_the_steps(self, channels):
        steps = film_of((2, channels, 3, 5))
        film = stored_run.Film(steps)
        film.draw(2, "2")
        tensors = steps[1].x_s, steps[1].x0_hat, steps[-1].x_s
        for pixels, x in zip(shown(film), tensors, strict=True):
            level = (x[1].clamp(-1, 1).permute(1, 2, 0) + 1) / 2 * 255
            # black is −1 and white is 1; a byte is rounded
            np.testing.assert_allclose(pixels[..., :3], level.expand(3, 5, 3), atol=0.6)

    @pytest.mark.parametrize("n", [1, 2, 5, 12, 80])
    def test_all_pictures_lie_side_by_side_in_order(self, n):
        film = stored_run.Film(film_of((n, 1, 8, 8), 2))
        assert film.draw(1, "all").size == (900, 420)
        pixels = shown(film)[0]
        columns = (pixels.shape[1] + 1) // 9
        first = film._x_s[0]
        for k in range(min(n, 64)):
            top, left = (9 * place for place in divmod(k, columns))
            tile = pixels[top : top + 8, left : left + 8, :3]
            np.testing.assert_array_equal(tile, first[k])
        x, y, _ = stored_run._sheet(first[:64])
        assert 0 <= x[0] < x[-1] <= stored_run._ASPECT + 1e-9
        assert 0 <= y[0] < y[-1] <= 1 + 1e-9
        assert np.diff(x)[0] == pytest.approx(np.diff(y)[0])

    @pytest.mark.parametrize(
        ("shape", "n_steps"),
        [((1, 1, 8, 8), 1), ((2, 3, 28, 28), 1), ((70, 1, 4, 6), 3)],
    )
    def test_any_run_of_pictures_will_do(self, shape, n_steps):
        film = stored_run.Film(film_of(shape, n_steps))
        step, which = film.controls
        assert which.value == which.options[0] == ("all" if shape[0] > 1 else "1")
        for k in (step.values[0], step.values[-1]):
            for choice in (which.options[0], which.options[-1]):
                assert_sound(film.draw(k, choice))

    def test_a_red_flag_where_a_prediction_leaves_the_range(self):
        steps = [
            step._replace(x0_hat=step.x0_hat * 0.1) for step in film_of((2, 1, 4, 4))
        ]
        assert stored_run.Film(steps).draw(2, "all").warning == ""
        steps[1].x0_hat[1] = 3.0
        film = stored_run.Film(steps)
        assert "by 2 (RMS)" in film.draw(2, "2").warning
        assert "by 1.41 (RMS)" in film.draw(2, "all").warning
        assert film.draw(2, "1").warning == film.draw(3, "all").warning == ""

    def test_the_run_without_a_run_ends_at_known_digits(self):
        images, _ = data.load("digits")
        known = (images + 1) * 127.5
        ends = torch.from_numpy(stored_run._example()._x_s[-1, ..., 0]).float()
        apart = torch.cdist(ends.flatten(1), known.flatten(1)).amin(1)
        assert float(apart.max()) <= 0.5 * 8, "more than rounding 64 pixels"
        settings = start(stored_run)
        film = stored_run._example()
        assert stored_run.draw(**settings) == film.draw(**settings)
        assert film.controls == stored_run.CONTROLS

    @pytest.mark.parametrize(
        ("steps", "error", "message"),
        [
            ([], ValueError, "at least one step, got none"),
            (iter(film_of((1, 1, 4, 4))), TypeError, "must be a list of Step, got"),
            ([torch.zeros(1, 1, 4, 4)], TypeError, "must be a list of Step, got list"),
            (film_of((5, 2)), ValueError, r"must hold pictures, grey .* got \(5, 2\)"),
            (film_of((5, 2, 4, 4)), ValueError, r"RGB \(B, 3, H, W\), got \(5, 2, 4"),
            (film_of((0, 1, 4, 4)), ValueError, r"got \(0, 1, 4, 4\)"),
            (film_of((1, 1, 4, 4))[::-1], ValueError, "with falling t, got t = 10…40"),
            (
                [Step(2, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 5, 4))],
                ValueError,
                "x0_hat must have shape",
            ),
            (
                [Step(2, torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), torch.nan))],
                ValueError,
                "x0_hat must hold numbers, got NaN at t = 2",
            ),
        ],
        ids=[
            *("empty", "used up", "no steps", "points", "channels", "none", "rising"),
            *("shapes", "nan"),
        ],
    )
    def test_what_is_no_run_of_pictures_says_so(self, steps, error, message):
        with pytest.raises(error, match=message):
            stored_run.stored_run_explorer(steps)

    @pytest.mark.parametrize(
        ("step", "which", "message"),
        [
            (0, "all", "step must be in 1…4, got 0"),
            (1, "3", "one of all, 1, 2; got '3'"),
        ],
    )
    def test_a_step_or_a_picture_that_is_none_is_refused(self, step, which, message):
        film = stored_run.Film(film_of((2, 1, 4, 4)))
        with pytest.raises(ValueError, match=message):
            film.draw(step, which)

    @pytest.mark.filterwarnings("default")  # ipywidgets without a kernel
    def test_the_widget_shows_the_run_it_is_given(self):
        pytest.importorskip("ipywidgets")
        widget = stored_run.stored_run_explorer(film_of((2, 1, 4, 4)))
        assert (
            "all 2 pictures: step 1 of 4, from t = 40 to s = 30" in widget.status.value
        )
        widget.controls["step"].value = 4
        widget.controls["which"].value = "2"
        assert "picture 2 of 2: step 4 of 4, from t = 10" in widget.status.value


# --- the canvas -----------------------------------------------------------------------


def test_the_png_is_what_the_canvas_shows():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    picture = Picture(_encode(pixels), "", "")
    assert picture.size == (7, 5)
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels[:, :, :3])


def test_only_what_is_animated_is_drawn_again():
    canvas = Canvas(height=2.0)
    ax = canvas.figure.subplots()
    (still,) = ax.plot([0, 1], [0, 1])
    (moving,) = ax.plot([0, 1], [1, 0], animated=True)
    first = canvas.png()
    still.set_ydata([1, 1])
    ax.set_title("late")
    assert canvas.png() == first
    moving.set_ydata([1, 1])
    second = canvas.png()
    assert second != first
    moving.set_ydata([1, 0])
    assert canvas.png() == first
    assert Picture(second, "", "").size == (900, 200)


def test_drawing_leaves_no_trace_in_matplotlib():
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams), pyplot.get_fignums()
    module = MODULES["schedule"]
    module._scene.cache_clear()
    module.draw(**start(module))
    assert (dict(mpl.rcParams), pyplot.get_fignums()) == before


# --- the panel, in this process -------------------------------------------------------


def toy(a: int, x: float, kind: str, on: bool, run: Any) -> Picture:
    if kind == "impossible":
        raise ValueError("kind must be possible, got <impossible>")
    if kind == "broken":
        raise KeyError("x")
    png = _encode(np.zeros((3, 4, 4), np.uint8))
    return Picture(png, 'a "black" & tiny picture', f"{a} {x} {on} {run}", "!" * on)


def work(a: int, x: float, kind: str, on: bool) -> Iterator[int]:
    yield a
    if on:
        raise RuntimeError("no luck")
    yield a + 1


TOY = (
    Slider("limit", "the limit", (2, 10, 100), 100),
    Slider("a", "a number", range(1, 101), 50, at_most="limit", play=True),
    Slider("x", "x", (0.001, 0.01, 0.1, 1.0), 0.1, when=("kind", "first")),
    Choice("kind", "kind", ("first", "second", "impossible", "broken"), "first"),
    Toggle("on", "on"),
    Button("run", "Run", work),
)


@pytest.fixture
def widget():
    pytest.importorskip("ipywidgets")

    def draw(limit, **settings):
        calls.append((limit, settings["a"], settings["x"]))
        return toy(**settings)

    def run(limit, **settings):
        yield from work(**settings)

    calls = []
    controls = [*TOY[:-1], Button("run", "Run", run)]
    widget = panel(draw, controls)
    widget.calls = calls
    return widget


def sliders(widget, name: str) -> list[Any]:
    """Return all widgets of the row in which a control stands."""
    rows = widget.children[0].children
    return next(r.children for r in rows if widget.controls[name] in r.children)


@pytest.mark.filterwarnings("default")  # ipywidgets without a kernel
class TestPanel:
    def test_picture_and_numbers(self, widget):
        assert widget.children[1:] == (widget.picture, widget.status)
        assert 'src="data:image/png;base64,' in widget.picture.value
        assert 'alt="a &quot;black&quot; &amp; tiny picture"' in widget.picture.value
        assert 'width="4" height="3"' in widget.picture.value
        assert widget.picture.layout.min_height == "3px"
        assert '<div role="status"' in widget.status.value
        assert ">50 0.1 False None<" in widget.status.value

    def test_a_number_box_takes_what_the_slider_cannot(self, widget):
        box, slider = sliders(widget, "x")
        box.value = 0.0195
        assert "50 0.0195 False" in widget.status.value
        assert (box.value, slider.value) == (0.0195, 0.01)
        slider.value = 1.0
        assert box.value == 1.0
        assert "50 1.0 False" in widget.status.value
        box.value = 7.0
        assert box.value == 1.0

    def test_every_slider_has_a_box_of_the_same_name(self, widget):
        for name in ("limit", "a", "x"):
            box, slider, *_ = sliders(widget, name)
            assert box.description == slider.description != ""
            assert "Bounded" in type(box).__name__
            room = int(box.layout.width.removesuffix("ch")) - len(box.description)
            assert room == 12, "the label takes what the number needs"
            assert "Slider" in type(slider).__name__

    def test_a_limit_takes_the_other_slider_along(self, widget):
        box, slider, play = sliders(widget, "a")
        widget.controls["limit"].value = 20
        assert (box.value, box.max) == (20, 20)
        assert (slider.value, slider.max, play.max) == (20, 20, 20)
        assert "20 0.1" in widget.status.value
        widget.controls["limit"].value = 100
        box.value = 100
        assert slider.value == 100

    def test_no_setting_is_drawn_twice_and_none_breaks_the_limit(self, widget):
        widget.controls["a"].value = 90
        widget.controls["limit"].value = 10
        sliders(widget, "x")[1].value = 0.01
        assert widget.calls == [
            (100, 50, 0.1), (100, 90, 0.1), (10, 10, 0.1), (10, 10, 0.01)
        ]  # fmt: skip

    def test_a_control_that_does_not_matter_is_switched_off(self, widget):
        assert not any(w.disabled for w in sliders(widget, "x"))
        widget.controls["kind"].value = "second"
        assert all(w.disabled for w in sliders(widget, "x"))
        widget.controls["kind"].value = "first"
        assert not any(w.disabled for w in sliders(widget, "x"))

    def test_an_error_goes_to_the_status_and_the_picture_stays(self, widget):
        picture = widget.picture.value
        widget.controls["kind"].value = "impossible"
        assert "got &lt;impossible&gt;" in widget.status.value
        assert "ValueError" not in widget.status.value
        assert "still shows the setting before" in widget.status.value
        assert widget.picture.value == picture
        widget.controls["kind"].value = "broken"
        assert "KeyError: &#x27;x&#x27;" in widget.status.value
        widget.controls["kind"].value = "second"
        assert "50 0.1 False" in widget.status.value

    def test_a_warning_stands_out(self, widget):
        assert "#b3261e" not in widget.status.value
        widget.controls["on"].value = True
        assert "#b3261e" in widget.status.value

    def test_a_button_draws_what_its_work_yields(self, widget):
        before = len(widget.calls)
        widget.controls["run"].click()
        assert len(widget.calls) == before + 2
        assert ">50 0.1 False 51<" in widget.status.value
        widget.controls["a"].value = 7
        assert ">7 0.1 False 51<" in widget.status.value

    def test_work_that_fails_says_so_and_can_be_tried_again(self, widget):
        widget.controls["on"].value = True
        widget.controls["run"].click()
        assert "RuntimeError: no luck" in widget.status.value
        assert not widget.controls["run"].disabled


def test_all_but_the_widget_works_without_ipywidgets():
    code = r"""
import sys
sys.modules["ipywidgets"] = None  # importing it raises ImportError
import importlib, pkgutil, warnings
warnings.simplefilter("error")
own = r"(matplotlib|pyparsing)\."  # older versions of these warn of each other
warnings.filterwarnings("default", "", DeprecationWarning, own)
from minddpm.course import explorers
for info in pkgutil.iter_modules(explorers.__path__):
    module = importlib.import_module(f"{explorers.__name__}.{info.name}")
    if hasattr(module, "draw"):
        begin = {c.name: getattr(c, "value", None) for c in module.CONTROLS}
        print(info.name, module.draw(**begin).size)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == [*MODULES]


# --- the panel, in a live kernel ------------------------------------------------------

IN_KERNEL = r"""
import importlib, json, re
from minddpm.course import explorers
from minddpm.course.kit.controls import Button, Choice, Slider

def ends(control):
    if isinstance(control, Slider):
        return [control.values[0], control.values[-1]]
    return list(control.options) if isinstance(control, Choice) else [False, True]

def move(name, module, widget):
    for control in module.CONTROLS:
        handle = widget.controls[control.name]
        if needed := getattr(control, "when", None):  # else it is switched off
            widget.controls[needed[0]].value = needed[1]
        seen = {(widget.picture.value, widget.status.value)}
        if isinstance(control, Button):
            handle.click()
            seen.add((widget.picture.value, widget.status.value))
        else:
            begin = handle.value
            for value in [*ends(control), begin]:
                handle.value = value
                if handle.value != min(value, getattr(handle, "max", value)):
                    faults.append(f"{name}.{control.name} did not become {value}")
                seen.add((widget.picture.value, widget.status.value))
        if len(seen) > 1:
            alive.add((name, control.name))
        if not widget.picture.value.startswith("<img"):
            faults.append(f"{name}.{control.name}: the picture is gone")
        if found := re.search(r"\b\w+Error: .*", widget.status.value):
            faults.append(f"{name}.{control.name}: {found[0]}")

widgets, faults, alive = {}, [], set()
for name in NAMES:
    module = importlib.import_module(f"{explorers.__name__}.{name}")
    widget = widgets[name] = getattr(module, f"{name}_explorer")()
    move(name, module, widget)
    for control in module.CONTROLS:  # and once more, from other values
        if isinstance(control, Slider):
            value = control.values[len(control.values) // 3]
            widget.controls[control.name].value = value
    move(name, module, widget)
    faults += [f"{name}.{control.name} changes nothing"
               for control in module.CONTROLS if (name, control.name) not in alive]
rows = {
    name: [
        [[w.model_id, type(w).__name__, list(getattr(w, "_options_labels", ())) or
          [getattr(w, "min", 0), getattr(w, "max", 1)]] for w in row.children]
        for row in widget.children[0].children
    ]
    for name, widget in widgets.items()
}
shown = {  # a setting of slow work shows in the status until its button is pressed
    name: [widget.picture.model_id, widget.status.model_id]
    for name, widget in widgets.items()
}
"""


@pytest.fixture(scope="module")
def kernel():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=120)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def execute(client, code: str) -> tuple[dict[str, Any], list[dict]]:
    """Run code in the kernel; return a JSON value it printed, and all its messages."""
    messages = []
    client.execute_interactive(code, timeout=300, output_hook=messages.append)
    assert_quiet(messages)
    printed = "".join(
        m["content"]["text"] for m in messages if m["msg_type"] == "stream"
    )
    return json.loads(printed or "null"), messages


def assert_quiet(messages: list[dict]) -> None:
    for message in messages:
        content = message["content"]
        assert message["msg_type"] != "error", "\n".join(content["traceback"])
        assert content.get("name") != "stderr", content["text"]


def from_browser(client, model: str, state: Settings) -> list[dict]:
    """Move a control as a browser does, and return all that the kernel answers."""
    content = {
        "comm_id": model,
        "data": {"method": "update", "state": state, "buffer_paths": []},
    }
    message = client.session.msg("comm_msg", content)
    client.shell_channel.send(message)
    answers = []
    while True:
        answer = client.get_iopub_msg(timeout=60)
        if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        answers.append(answer)
        if answer["content"].get("execution_state") == "idle":
            return answers


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's client's are not ours to mend
def test_every_control_of_every_explorer_in_a_live_kernel(kernel):
    execute(kernel, f"NAMES = {list(MODULES)}\n{IN_KERNEL}")
    faults, _ = execute(kernel, "print(json.dumps(faults))")
    assert not faults
    (rows, shown), _ = execute(kernel, "print(json.dumps([rows, shown]))")
    assert set(rows) == set(MODULES)
    for name, controls in rows.items():
        redrawn = 0
        for widgets in controls:
            for model, kind, ends in widgets:
                if kind in ("Button", "Play"):
                    continue
                key = "value"
                if kind in ("SelectionSlider", "Dropdown"):
                    key, ends = "index", [0, len(ends) - 1]
                if kind == "Checkbox":
                    ends = [True, False]
                for value in ends:
                    answers = from_browser(kernel, model, {key: value})
                    assert_quiet(answers)
                    redrawn += any(
                        a["msg_type"] == "comm_msg"
                        and a["content"]["comm_id"] in shown[name]
                        for a in answers
                    )
        assert redrawn >= len(controls), f"{name}: a browser sees {redrawn} redraws"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_kernel_test_can_fail(kernel):
    execute(
        kernel,
        "import ipywidgets\nbad = ipywidgets.IntSlider()\n"
        "bad.observe(lambda change: 1 / 0, 'value')",
    )
    model, _ = execute(kernel, "import json; print(json.dumps(bad.model_id))")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        assert_quiet(from_browser(kernel, model, {"value": 3}))
