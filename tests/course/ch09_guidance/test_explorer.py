"""The explorer of notebook 09: its laws are those of the package's samplers."""

import re

import numpy as np
import pytest
import torch

from minddpm import DDPM, ancestral, sample
from minddpm.course.ch09_guidance import exact, explorer
from minddpm.course.kit import law as laws
from playing import five_errors


class TestGuidance:
    W, S = explorer._CONVENTIONS

    @pytest.mark.parametrize("label", [0, 1, 2])
    @pytest.mark.parametrize("w", [-1.5, -1.0, 0.0, 1.0, 4.0, 6.0])
    def test_the_law_is_that_of_the_packages_samples(self, w, label):
        mixture = exact.mixture()
        ddpm = DDPM(mixture, schedule=mixture.schedule)
        draws = torch.Generator().manual_seed(label)
        x_T = torch.randn(10_000, 1, generator=draws)
        c = torch.full((10_000,), label)
        samples = sample(ancestral(ddpm, x_T, c, w=w, generator=draws))[:, 0]
        law = exact.sampled(w, label)
        five_errors(samples, law)
        assert law.mass[abs(law.x) > 4.8].sum() < 1e-4, "the grid is too short"

    @pytest.mark.parametrize("label", [0, 1, 2])
    def test_the_product_at_weights_that_are_known(self, label):
        plain = exact.product(0.0, label).moments()
        assert plain == pytest.approx((exact.MEANS[label], exact.STDS[label]))
        means, stds = np.array(exact.MEANS), np.array(exact.STDS)
        std = np.sqrt((stds**2 + means**2).mean() - means.mean() ** 2)
        everyone = exact.product(-1.0, label).moments()
        assert everyone == pytest.approx((means.mean(), std), abs=1e-5)
        x = laws.grid(2)
        ratio = np.exp(3 * exact.log_prob(label) - 2 * exact.log_prob(None))
        mean = (ratio * x).sum() / ratio.sum()
        assert exact.product(2.0, label).moments()[0] == pytest.approx(mean)

    def test_guidance_is_not_the_product(self):
        law, product = exact.sampled(4.0, 0), exact.product(4.0, 0)
        assert law.moments()[0] < product.moments()[0] - 0.2

    @pytest.mark.parametrize("w", [-1.5, -0.5, 0.0, 1.25, 6.0])
    def test_numbers_are_those_of_the_laws_in_either_convention(self, w):
        settings = {"w": w, "label": "right"}
        pictures = [
            explorer.draw(**settings, convention=convention)
            for convention in (self.W, self.S)
        ]
        expected = [
            exact.MEANS[2],
            exact.STDS[2],
            *exact.product(w, 2).moments(),
            *exact.sampled(w, 2).moments(),
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
            picture = explorer.draw(w=w, convention=convention, label="left")
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
        warning = explorer.draw(w=w, convention=self.W, label="left").warning
        assert words in warning
        assert bool(warning) == bool(words)
