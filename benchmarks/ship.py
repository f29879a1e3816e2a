"""Put a trained model into the package, beside the classifier `evaluate` uses.

    minddpm train --data mnist --steps 45000 --out runs/mnist
    python benchmarks/ship.py runs/mnist

Where there is no classifier, one is fitted by `fit_classifier`; one that is there
stays, or distances before and after would not compare. Afterwards measure the
result as minddpm/weights/README.md says, and bring its numbers up to date.
"""

import argparse
from pathlib import Path

from minddpm import data
from minddpm.app import files
from minddpm.app.classifier import fit_classifier


def main() -> None:
    """Write the weights, and the classifier if there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished training")
    run = parser.parse_args().run
    name = files.read(files.find(run))[1]["about"]["data"]
    folder = files.SHIPPED / "classifiers"
    folder.mkdir(parents=True, exist_ok=True)
    weights = files.find(run).read_bytes()
    files.replace(files.SHIPPED / f"{name}.safetensors", weights)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        classifier = fit_classifier(data.load(name))
        files.write(path, classifier.state_dict(), {"about": {"data": name}})
    for each in (files.SHIPPED / path.name, path):
        print(f"{each}: {each.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
