"""Put a trained model into the package, beside the classifier `evaluate` uses.

    minddpm train --data mnist --steps 45000 --out runs/mnist
    python benchmarks/ship.py runs/mnist

Where there is no classifier, one is fitted by `metrics.fit_classifier`; one that is
there stays, or distances before and after would not compare. Afterwards measure the
result as minddpm/weights/README.md says, and bring its numbers up to date.
"""

import argparse
from pathlib import Path

from minddpm import data, metrics
from minddpm.app import files


def main() -> None:
    """Write the weights, and the classifier if there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished training")
    run = parser.parse_args().run
    name = checkpoint.read(checkpoint.find(run))[1]["about"]["data"]
    folder = checkpoint.SHIPPED / "classifiers"
    folder.mkdir(parents=True, exist_ok=True)
    weights = checkpoint.find(run).read_bytes()
    checkpoint.replace(checkpoint.SHIPPED / f"{name}.safetensors", weights)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        classifier = metrics.fit_classifier(data.load(name))
        checkpoint.write(path, classifier.state_dict(), {"about": {"data": name}})
    for each in (checkpoint.SHIPPED / path.name, path):
        print(f"{each}: {each.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
