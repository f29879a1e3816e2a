"""Checks of the exercises: `check_<what>(your_function)` gives a `Report`."""

from minddpm.course.checks.c00_start_here import check_signal_and_noise
from minddpm.course.checks.c01_forward_chain import check_q_step, check_run_chain
from minddpm.course.checks.c01_moments import check_moments, check_steps_needed
from minddpm.course.checks.c02_closed_form import check_q_sample
from minddpm.course.checks.c02_schedule import (
    check_alpha_bars,
    check_last_signal,
    check_rescaled_betas,
)
from minddpm.course.checks.c03_best_denoiser import check_denoise, check_eps_from_x0
from minddpm.course.checks.c03_loss_floor import check_gaussian_floor
from minddpm.course.checks.c04_divergence import check_kl_gaussians
from minddpm.course.checks.c04_noise_prediction_loss import (
    check_mean_from_eps,
    check_weight,
)
from minddpm.course.checks.c04_posterior import check_q_posterior
from minddpm.course.checks.c05_loss import check_loss
from minddpm.course.checks.c05_training import check_excess, check_time_features
from minddpm.course.checks.report import Report

__all__ = [
    "Report",
    "check_alpha_bars",
    "check_denoise",
    "check_eps_from_x0",
    "check_excess",
    "check_gaussian_floor",
    "check_kl_gaussians",
    "check_last_signal",
    "check_loss",
    "check_mean_from_eps",
    "check_moments",
    "check_q_posterior",
    "check_q_sample",
    "check_q_step",
    "check_rescaled_betas",
    "check_run_chain",
    "check_signal_and_noise",
    "check_steps_needed",
    "check_time_features",
    "check_weight",
]
