"""Where notebooks saved before 2027 look for these two."""

from minddpm.course.ch04_noise_prediction_loss.weighting import loss_weights, tenths

__all__ = ["loss_weights", "tenths"]
