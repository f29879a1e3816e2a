"""The explorers of the notebooks: `<name>_explorer()` gives a widget.

Each is loaded when it is first asked for.
"""

import importlib
from typing import Any

_HOMES = {  # in which file of this folder each one lives
    "best_denoiser_explorer": "best_denoiser",
    "context_dropout_explorer": "context_dropout",
    "forward_chain_explorer": "forward_chain",
    "guidance_explorer": "guidance",
    "loss_weights_explorer": "loss_weights",
    "reverse_sampling_explorer": "reverse_sampling",
    "schedule_explorer": "schedule",
    "stored_run_explorer": "stored_run",
    "training_explorer": "training",
}

__all__ = [
    "best_denoiser_explorer",
    "context_dropout_explorer",
    "forward_chain_explorer",
    "guidance_explorer",
    "loss_weights_explorer",
    "reverse_sampling_explorer",
    "schedule_explorer",
    "stored_run_explorer",
    "training_explorer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"no {name!r} here; there are {', '.join(_HOMES)}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, name)
