"""`completion SHELL`: the script that makes a shell complete our command line."""

from typing import Annotated

from cyclopts import Parameter


def completion(shell: Annotated[str, Parameter(help="bash, zsh or fish.")], /) -> None:
    """Print a completion script; see the README for where it goes."""
    from importlib.resources import files

    from k3dasync.completion.values import SHELLS
    from k3dasync.errors import SpecError
    from k3dasync.streams import show

    if shell not in SHELLS:
        raise SpecError(f"no completion for {shell!r}: expected bash, zsh or fish")
    script = files("k3dasync.completion") / "scripts" / f"k3dasync.{shell}"
    show(script.read_text("utf-8").removesuffix("\n"))
