"""Put a trained model into the package, with the classifier that `evaluate` judges by.

    minddpm train --data mnist --steps 45000 --out runs/mnist
    python benchmarks/ship.py runs/mnist --tune 10000

First the model is tuned for few sampling steps: trained on, at late times and a low
learning rate. The classifier is fitted anew, by the recipe of `metrics.fit_classifier`.
Afterwards measure the result as minddpm/weights/README.md says, and bring its numbers
up to date.
"""

import argparse
from pathlib import Path

from minddpm import DDPM, TrainConfig, checkpoint, data, load, metrics, save
from minddpm.train import train


def tune(ddpm: DDPM, name: str, steps: int) -> float:
    """Train on at late times; return the seconds that it took."""
    config = TrainConfig(
        steps=steps, batch_size=32, optimiser="muon", lr=2e-3, time_power=0.5, seed=1
    )
    return train(ddpm, data.load(name), config).seconds


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished training")
    parser.add_argument("--tune", type=int, default=0, help="steps of tuning (0)")
    arguments = parser.parse_args()
    about = checkpoint.read(checkpoint.find(arguments.run))[1]["about"]
    ddpm, name = load(arguments.run), about["data"]
    if arguments.tune:
        about["seconds"] += round(tune(ddpm, name, arguments.tune), 1)
        about["steps"] += arguments.tune
    folder = checkpoint.SHIPPED / "classifiers"
    folder.mkdir(parents=True, exist_ok=True)
    weights = checkpoint.SHIPPED / f"{name}.safetensors"
    save(weights, ddpm, **about)
    classifier = metrics.fit_classifier(data.load(name))
    path = folder / f"{name}.safetensors"
    checkpoint.write(path, classifier.state_dict(), {"about": {"data": name}})
    for each in (weights, path):
        print(f"{each}: {each.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
