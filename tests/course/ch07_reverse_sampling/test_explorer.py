"""The explorer of notebook 07: its paths and laws are those of the package."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from minddpm import DDPM, Schedule, ancestral, ddim
from minddpm.course.ch07_reverse_sampling import exact, explorer
from minddpm.course.kit import law as laws
from minddpm.course.kit.law import Law
from playing import five_errors, start

BETA_TILDE, BETA = "ancestral, σ² = β̃", "ancestral, σ² = β"


def by_package(
    n: int, seed: int, sampler: str, T: int, rescale: bool, clamp: str, **rest: Any
) -> torch.Tensor:
    """Sample with the package, and its steps, for what the explorer shows; (K+1, n)."""
    mixture = exact.mixture(T, rescale)
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
    BEGIN = start(explorer)
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
        ours = by_package(exact.PATHS, 0, **settings)
        paths = torch.from_numpy(exact.output(**settings).paths)
        assert_close(paths.float(), ours, atol=3e-3, rtol=0)

    @sampled
    def test_the_law_is_that_of_the_packages_samples(self, change):
        settings = self.BEGIN | change
        samples = by_package(20_000, 1, **settings)[-1]
        five_errors(samples, exact.output(**settings).law)

    @pytest.mark.parametrize("settings", [(25, True), (50, False), (1000, False)])
    def test_the_denoiser_is_the_exact_one(self, settings):
        times = (settings[0], settings[0] // 2, 2, 1)
        x = torch.from_numpy(laws.grid(2))[:, None]
        mixture = exact.mixture(*settings)
        right = np.stack([mixture.denoise(x, t)[:, 0].numpy() for t in times])
        found = exact.x0_hats(*settings, times, 2)
        np.testing.assert_allclose(found, right, atol=1e-6)

    def test_numbers_are_those_of_the_law(self):
        w, m = np.array(exact.WEIGHTS), np.array(exact.MEANS)
        mean = w @ m
        std = (exact.STD**2 + w @ m**2 - mean**2) ** 0.5
        for change in ({}, {"sampler": "DDIM"}, {"rescale": False}):
            settings = self.BEGIN | change
            law = exact.output(**settings).law
            status = explorer.draw(**settings).status
            status = status.replace("√ᾱ_T", "").replace("η", "")
            found = [float(number) for number in re.findall(r"-?\d[\d.]*", status)]
            expected = [*law.moments(), mean, std, *law.part(0.35, 9)]
            assert found[:6] == pytest.approx(expected, abs=6e-4)
            assert found[6:8] == pytest.approx([w[2], exact.STD], abs=1e-4)
            assert found[8] == pytest.approx(exact.distance(law), abs=6e-4)
            assert found[9] == (10 if settings["sampler"] == "DDIM" else 50)
            schedule = Schedule.linear(50, rescale=settings["rescale"])
            end = float(schedule.sqrt_alpha_bars[-1])
            assert found[10] == pytest.approx(end, rel=0.05)

    def test_the_distance_is_0_to_itself_and_1_to_a_point_far_off(self):
        far = Law(np.array([8.0]), np.array([1.0]))
        assert exact.distance(exact.truth()) == 0
        assert exact.distance(far) == pytest.approx(1, abs=1e-6)

    def test_ddim_with_all_steps_and_eta_1_is_ancestral(self):
        everything = {"sampler": "DDIM", "steps": 50, "eta": 1.0}
        one = exact.output(**self.BEGIN | everything).law
        two = exact.output(**self.BEGIN | {"sampler": BETA_TILDE}).law
        np.testing.assert_allclose(one.x, two.x, atol=1e-4)
        np.testing.assert_allclose(one.mass, two.mass, atol=1e-6)

    @pytest.mark.parametrize("sampler", [BETA, "DDIM"])
    def test_after_the_first_step_a_clamped_x_t_starts_from_the_range(self, sampler):
        walks = [
            exact.walk(sampler, 50, True, clamp, 10, 0.5)
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
            law = exact.output(**self.BEGIN | {"sampler": sampler}).law
            width[sampler] = law.part(0.35, 9)[1]
        assert width[BETA_TILDE] < 0.07 < exact.STD < 0.1 < width[BETA]

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
        warning = explorer.draw(**self.BEGIN | change).warning
        assert all(word in warning for word in words)
        assert bool(warning) == bool(words)

    def test_more_steps_than_there_are_is_refused(self):
        with pytest.raises(ValueError, match="in 1…T, got steps = 51 for T = 50"):
            explorer.draw(**self.BEGIN | {"sampler": "DDIM", "steps": 51})
