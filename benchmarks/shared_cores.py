"""Notebooks that train at once on the same cores: how much does each slow the others?

    python benchmarks/shared_cores.py [--kernels 2] [--seconds 5] [--rounds 5]

Each setting of the threads is tried alone and with as many kernels as asked for, in
turn, with the course's trainings and in Jupyter's own kernels. Printed are medians over
the rounds: milliseconds a step of one kernel alone, and of each of those that train at
once; and the two ratios that matter. *Shared* is the slowest of those that train at
once over one alone with the same setting; *alone* is one alone over one alone with all
cores, as PyTorch would have it. As the rounds alternate, other work on the machine
falls on all settings; yet measure when it is quiet.
"""

import argparse
import os
import statistics
import subprocess
from collections.abc import Sequence

import psutil
from jupyter_client import KernelManager
from jupyter_client.blocking import BlockingKernelClient

CORES = str(len(os.sched_getaffinity(0)) if psutil.LINUX else os.cpu_count())

# What is in the environment before PyTorch is loaded; where OMP_NUM_THREADS is set, the
# course leaves the threads alone.
SETTINGS = {
    "all cores": {"OMP_NUM_THREADS": CORES},
    "waiting": {"OMP_NUM_THREADS": CORES, "OMP_WAIT_POLICY": "passive"},
    "course": {},
}

SETUP = """
import torch, minddpm
from minddpm import DDPM, MLP, Schedule, TrainConfig, UNet, data
from minddpm.course import plots
from minddpm.train import train

torch.manual_seed(0)
"""
# As in notebooks 00, 05 and 08; the last with its other data set's size, and noise in
# its place, as nothing may be downloaded.
TRAININGS = {
    "00 digits": """
ddpm = DDPM(UNet(1, n_feat=32, n_classes=10), schedule=Schedule.cosine(T=200))
what, options = data.load("digits"), {"batch_size": 96, "lr": 5e-3}
""",
    "05 points": """
ddpm = DDPM(MLP(dim=2, n_feat=64), schedule=Schedule.cosine(T=100))
points, _ = data.points("ring", 20_000)
what, options = (points, None), {"batch_size": 512, "lr": 1.2e-2}
""",
    "08 28×28": """
ddpm = DDPM(UNet(1, n_feat=32, n_classes=10), (5e-4, 0.1), 200)
what = torch.rand(1000, 1, 28, 28) * 2 - 1, torch.arange(1000) % 10
options = {"batch_size": 64, "lr": 3e-3}
""",
}
TRAIN = """
config = TrainConfig(steps=10**6, max_seconds={seconds}, **options)
history = train(ddpm, what, config)
print(1000 * history.seconds / history.step)
"""


class Kernel:
    """A kernel that is ready to train.

    Args:
        settings: put into its environment.
        training: the code that prepares it.
    """

    def __init__(self, settings: dict[str, str], training: str) -> None:
        own = ("OMP_", "GOMP_", "MKL_", "KMP_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(env=env | settings, stderr=subprocess.DEVNULL)
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)
        self.run(SETUP + training)

    def start(self, code: str) -> None:
        """Send code; do not wait."""
        self._client.execute(code)

    def finish(self) -> str:
        """Wait for what was sent; return what it printed."""
        printed = ""
        self._client.get_shell_msg(timeout=600)
        while True:
            message = self._client.get_iopub_msg(timeout=60)
            content = message["content"]
            if message["msg_type"] == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            if content.get("name") == "stdout":
                printed += content["text"]
            if content.get("execution_state") == "idle":
                return printed

    def run(self, code: str) -> str:
        """Run code; return what it printed."""
        self.start(code)
        return self.finish()

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def at_once(kernels: Sequence[Kernel], seconds: float) -> list[float]:
    """Train in all kernels at the same time; return milliseconds a step of each."""
    for kernel in kernels:
        kernel.start(TRAIN.format(seconds=seconds))
    return [float(kernel.finish().split()[-1]) for kernel in kernels]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kernels", type=int, default=2, help="at once (2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="a training (5)")
    parser.add_argument("--rounds", type=int, default=5, help="medians over them (5)")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument(
        "--trainings", nargs="+", choices=TRAININGS, default=list(TRAININGS)
    )
    args = parser.parse_args()
    print(f"{CORES} cores, load {os.getloadavg()[0]:.1f} before the start\n")
    print("| training | setting | threads | alone, ms | at once, ms | shared | alone |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name in args.trainings:
        kernels = {
            setting: [
                Kernel(SETTINGS[setting], TRAININGS[name]) for _ in range(args.kernels)
            ]
            for setting in args.only
        }
        alone: dict[str, list[float]] = {setting: [] for setting in args.only}
        shared: dict[str, list[float]] = {setting: [] for setting in args.only}
        for _ in range(args.rounds):
            for setting, group in kernels.items():
                alone[setting] += at_once(group[:1], args.seconds)
            for setting, group in kernels.items():
                shared[setting].append(max(at_once(group, args.seconds)))
        first = statistics.median(alone[args.only[0]])
        for setting, group in kernels.items():
            threads = group[0].run("print(torch.get_num_threads())").strip()
            one, many = map(statistics.median, (alone[setting], shared[setting]))
            print(
                f"| {name} | {setting} | {threads} | {one:.1f} | {many:.1f} "
                f"| {many / one:.2f} | {one / first:.2f} |",
                flush=True,
            )
            for kernel in group:
                kernel.close()


if __name__ == "__main__":
    main()
