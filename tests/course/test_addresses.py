"""Notebooks that were saved before the rooms still find all that they import."""

import importlib

import pytest

from minddpm.course import checks, contents, explorers
from minddpm.course.ch04_noise_prediction_loss import weighting
from minddpm.course.kit import diagnosis, plots

FIGURES = [chapter for chapter in contents.CHAPTERS if chapter.module("figures")]


@pytest.mark.parametrize("chapter", FIGURES, ids=lambda chapter: chapter.number)
def test_figures_had_one_folder(chapter):
    module = importlib.import_module("minddpm.course.figures")
    assert getattr(module, f"f{chapter.number}") is chapter.module("figures")


def test_what_had_another_address_is_the_same():
    from minddpm.course import plots as plots_then
    from minddpm.course.doctor import doctor
    from minddpm.course.explorers import loss_weights_explorer
    from minddpm.course.explorers.loss_weights import loss_weights, tenths

    assert plots_then is plots
    assert doctor is diagnosis.doctor
    assert loss_weights is weighting.loss_weights
    assert tenths is weighting.tenths
    assert callable(loss_weights_explorer)


def test_what_is_not_there_says_what_is():
    with pytest.raises(ImportError, match="f00"):
        from minddpm.course.figures import f00  # noqa: F401
    with pytest.raises(AttributeError, match=r"no 'check_x' here; .*check_q_step"):
        checks.check_x  # noqa: B018
    with pytest.raises(AttributeError, match=r"no 'x' here; .* forward_chain_explorer"):
        explorers.x  # noqa: B018
