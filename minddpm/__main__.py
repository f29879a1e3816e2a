"""The command line: `minddpm doctor`, or `python -m minddpm doctor`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import metadata


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
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    for add in (_add_doctor,):
        add(commands)
    args = parser.parse_args(argv)
    # a console that does not know a sign shows "?" in its place
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    run: Callable[[argparse.Namespace], int] = args.run
    return run(args)


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
    from minddpm.course.doctor import doctor

    diagnosis = doctor()
    print(diagnosis)
    return 0 if diagnosis.ok else 1


if __name__ == "__main__":
    sys.exit(main())
