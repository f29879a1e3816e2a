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
from minddpm.course.checks.c06_drop_context import check_drop_context
from minddpm.course.checks.c06_fields import (
    check_dropout_floor,
    check_unconditional_eps,
)
from minddpm.course.checks.c07_clamp_and_jump import (
    check_clipped_mean,
    check_ddim_step,
)
from minddpm.course.checks.c07_law import check_output_law
from minddpm.course.checks.c07_step import check_p_step
from minddpm.course.checks.c08_pixels import check_normalise
from minddpm.course.checks.c08_training import check_ema_update, check_loss_by_t
from minddpm.course.checks.c09_batched import check_batched_guidance
from minddpm.course.checks.c09_gaussian import check_guided_gaussian
from minddpm.course.checks.c09_guide import check_convert_scale, check_guide
from minddpm.course.checks.report import Report

__all__ = [
    "Report",
    "check_alpha_bars",
    "check_batched_guidance",
    "check_clipped_mean",
    "check_convert_scale",
    "check_ddim_step",
    "check_denoise",
    "check_drop_context",
    "check_dropout_floor",
    "check_ema_update",
    "check_eps_from_x0",
    "check_excess",
    "check_gaussian_floor",
    "check_guide",
    "check_guided_gaussian",
    "check_kl_gaussians",
    "check_last_signal",
    "check_loss",
    "check_loss_by_t",
    "check_mean_from_eps",
    "check_moments",
    "check_normalise",
    "check_output_law",
    "check_p_step",
    "check_q_posterior",
    "check_q_sample",
    "check_q_step",
    "check_rescaled_betas",
    "check_run_chain",
    "check_signal_and_noise",
    "check_steps_needed",
    "check_time_features",
    "check_unconditional_eps",
    "check_weight",
]
