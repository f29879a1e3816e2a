"""Give the repository another address, in all the places that name it.

    python tools/address.py https://github.com/you/fork

pyproject.toml says what the address is; the README, the links to Colab and the setup
cells follow it. Nothing else in them changes, not a byte. Run it once more to go back.
"""

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# How a repository is named: GitHub itself, Colab's and Binder's way to it.
HOSTS = rb"((?:github\.com|colab\.research\.google\.com/github|mybinder\.org/v2/gh)/)"


def slug(address: str) -> str:
    """Return the owner/name of an address.

    Args:
        address: of a repository on GitHub.

    Returns:
        The part that Colab, Binder and GitHub share.

    Raises:
        ValueError: if it is no such address.
    """
    match = re.fullmatch(r"https://github\.com/([\w-]+/[\w-]+)", address, re.ASCII)
    if match is None:
        raise ValueError(
            f"the address must be https://github.com/OWNER/NAME, with letters, digits, "
            f"- and _ only (Colab opens notebooks from there); got {address!r}"
        )
    return match[1]


def move(root: Path, address: str) -> list[Path]:
    """Rewrite the address wherever it stands.

    Args:
        root: of the repository.
        address: the new one, https://github.com/OWNER/NAME.

    Returns:
        The files that changed.

    Raises:
        ValueError: if either address, the new or the old, is not of that form.
    """
    new = slug(address).encode()
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    old = slug(project["urls"]["Repository"]).encode()
    named = re.compile(HOSTS + re.escape(old) + rb"(?![\w-])")
    # The folder that `git clone` makes has the repository's name.
    folder = re.compile(rb"(git clone \S+\s+cd )" + old.split(b"/")[1] + rb"(?![\w-])")
    files = [root / "pyproject.toml", *root.glob("*.md")]
    changed = []
    for path in files + sorted((root / "notebooks").glob("*.ipynb")):
        before = path.read_bytes()
        after = named.sub(rb"\g<1>" + new, before)
        after = folder.sub(rb"\g<1>" + new.split(b"/")[1], after)
        if after != before:
            path.write_bytes(after)
            changed.append(path)
    return changed


def main() -> None:
    """Move to the address on the command line, and say what changed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("address", help="https://github.com/OWNER/NAME")
    address = parser.parse_args().address
    try:
        changed = move(ROOT, address)
    except ValueError as error:
        parser.error(str(error))
    for path in changed:
        print(path.relative_to(ROOT))
    print(f"{len(changed)} files name {address} now")


if __name__ == "__main__":
    main()
