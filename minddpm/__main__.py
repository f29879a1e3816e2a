"""The command line: `minddpm doctor | train | sample | evaluate | grade`.

Also `python -m minddpm …`; on several processes `torchrun … -m minddpm train …`.
"""

import argparse
import codecs
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

_SPELLED = {"✓": "+", "✗": "x", "○": "o", "·": ".", "×": "x", "−": "-", "…": "..."}
_SPELLED |= {"–": "-", "é": "e"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None takes those of the process.

    Returns:
        The exit status: 0 if all went well.

    Raises:
        SystemExit: after --help and --version, and with status 2 if the arguments are
            wrong.
    """
    parser = argparse.ArgumentParser(
        prog="minddpm", description="Denoising diffusion, small enough to read."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(
        title="commands", metavar="command", dest="command", required=True
    )
    for add in (_add_doctor, _add_train, _add_sample, _add_evaluate, _add_grade):
        add(commands)
    args = parser.parse_args(argv)
    codecs.register_error("spelled", _spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spelled")
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        # what a user can cure: our own words, or the system's
        print(f"minddpm {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"minddpm {args.command}: interrupted", file=sys.stderr)
        return 130


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Put what every console can show in the place of signs that this one cannot."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_SPELLED.get(sign, "?") for sign in signs), error.end


def _version() -> str:
    try:
        return f"minddpm {metadata.version('minddpm')}"
    except metadata.PackageNotFoundError:
        return "minddpm, not installed"


# One pair of functions a command: what it takes, and what it does. The second imports
# what it needs, so that --help needs nothing.


def _add_doctor(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    says = "look whether this machine has what the course needs"
    commands.add_parser("doctor", help=says, description=says).set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from minddpm.course.kit.diagnosis import doctor

    diagnosis = doctor()
    print(diagnosis)
    return 0 if diagnosis.ok else 1


def _add_train(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    says = "train a model on pictures, in a folder; it can be killed and resumed"
    parser = commands.add_parser("train", help=says, description=says)
    parser.add_argument(
        "--data",
        metavar="NAME|FOLDER",
        help="mnist (default), fashion_mnist, cifar10 or digits, each with its preset; "
        "or a folder of pictures, whose sub-folders are the classes (./mnist is one, "
        "mnist is the data set); every fifth of a class is left for evaluate",
    )
    _add_reading(parser)
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="of a folder: scale and cut the pictures to this height and width",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="of a folder: 1 is grey, 3 is colour (default: what is there)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--batch", type=int, help="pictures a step, in all processes")
    parser.add_argument("--seed", type=int, default=0, help="of a new training (0)")
    parser.add_argument("--device", help="cpu, cuda, mps; default: the best there is")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where it ended, with its settings; or to a later end, with --steps "
        "or --minutes counted from the beginning: the learning rate then rises to the "
        "cosine that falls to that end",
    )
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument(
        "--save-every", type=float, default=30.0, metavar="S", help="seconds (30)"
    )
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from minddpm.app.runs import run

    history = run(
        args.out,
        args.data,
        minutes=args.minutes,
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
        device=args.device,
        resume=args.resume,
        compiled=args.compile,
        save_every=args.save_every,
        **_reading(args, "size", "channels", "skip_broken"),
    )
    print(f"{args.out}: {history}")
    if history.stopped == "interrupted":
        print(f"go on with: minddpm train --out {shlex.quote(args.out)} --resume")
        return 130
    return 0


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="of a folder: leave out pictures that cannot be read",
    )


def _reading(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return what was said of how to read a folder."""
    return {name: value for name in names if (value := getattr(args, name))}


def _add_sample(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    says = "draw pictures from a trained model"
    parser = commands.add_parser("sample", help=says, description=says)
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="a file, the folder of a training, or mnist, which comes with minddpm",
    )
    parser.add_argument("--n", type=int, default=100, help="how many (100)")
    parser.add_argument(
        "--labels",
        metavar="0-9|3,5|NAMES",
        help="classes, over and over, also by name: cats,dogs (default: all)",
    )
    parser.add_argument(
        "--guidance", type=float, default=0.0, metavar="W", help="0 is none (0)"
    )
    parser.add_argument(
        "--steps", type=int, help="how many (11, or all if the model has fewer)"
    )
    parser.add_argument(
        "--sampler",
        default="ddpm",
        choices=("ddpm", "ddim"),
        help="with fresh noise at every step, or without (ddpm)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="cpu, cuda, mps; default: the best there is")
    parser.add_argument(
        "--out",
        default="samples.png",
        metavar="FILE",
        help=".png is a grid, .gif the film, .npz images and labels (samples.png)",
    )
    parser.set_defaults(run=_sample)


def _sample(args: argparse.Namespace) -> int:
    from minddpm.app.drawing import generate

    generate(
        args.weights,
        args.out,
        n=args.n,
        labels=args.labels,
        w=args.guidance,
        sampler=args.sampler,
        steps=args.steps,
        seed=args.seed,
        device=args.device,
    )
    print(f"{args.n} pictures in {args.out}")
    return 0


def _add_evaluate(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    says = "measure how good samples are, beside the same of real pictures"
    parser = commands.add_parser("evaluate", help=says, description=says)
    parser.add_argument("samples", metavar="FILE.npz", help="what minddpm sample wrote")
    parser.add_argument(
        "--data",
        default="mnist",
        metavar="NAME|FOLDER",
        help="the real pictures, as in train (mnist); those of a folder are scaled to "
        "the size of the samples",
    )
    _add_reading(parser)
    parser.add_argument("--device", help="cpu, cuda, mps; default: the best there is")
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from minddpm.app.evaluation import evaluate

    how = _reading(args, "skip_broken")
    print(evaluate(args.samples, args.data, args.device, **how))
    return 0


def _add_grade(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    says = "grade handed-in notebooks of the course, each answer within limits"
    parser = commands.add_parser(
        "grade",
        help=says,
        description=says,
        epilog="The student's name stands before the chapter's, as in "
        "anna_02_closed_form.ipynb; else it is the name of the folder. Of a folder of "
        "FOLDER, all is one student's, who has the name of that folder. Hidden files "
        "are passed over. Exit status: 0 if all was graded; 1 if a notebook could not "
        "be read, or nothing was graded; 2 if the arguments are wrong. It runs the "
        "code in the notebooks, and is no security sandbox.",
    )
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK|FOLDER")
    parser.add_argument(
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help="write the grades there too, once all is graded: .csv has a row for each "
        "student (score, maximum, feedback, each exercise), .json all there is; can "
        "be given twice",
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="a limit (60)"
    )
    parser.add_argument(
        "--memory", type=int, default=2048, metavar="MIB", help="a limit (2048)"
    )
    parser.add_argument(
        "--course", metavar="FOLDER", help="the course's notebooks, if not beside this"
    )
    parser.set_defaults(run=_grade)


def _grade(args: argparse.Namespace) -> int:
    from minddpm.app.files import replace
    from minddpm.course.grading import gradebook, grader

    gradebook.check(args.out)
    limits = {"timeout": args.timeout, "memory": args.memory}
    grades = []
    for each in grader.grade(args.notebooks, course=args.course, **limits):
        grades.append(each)
        print(each, flush=True)
    print(f"\n{gradebook.summary(grades)}")
    for path in args.out:
        replace(path, gradebook.content(path, grades))
    return 1 if any(each.fault for each in grades) else 0


if __name__ == "__main__":
    sys.exit(main())
