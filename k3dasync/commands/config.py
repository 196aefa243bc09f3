"""`config init`, `config view`, `config migrate` and `config schema`."""

import os
from typing import Annotated, Literal

from cyclopts import Parameter

from k3dasync.commands._create_flags import DEFAULT_FLAGS, CreateFlags

Version = Literal["v1alpha2", "v1alpha3", "v1alpha4", "v1alpha5"]
Force = Annotated[
    bool, Parameter(name=["--force", "-f"], negative="", help="Replace a file that is there.")
]


def init(
    *,
    output: Annotated[
        str,
        Parameter(
            name=["--output", "-o"],
            allow_leading_hyphen=True,  # a lone - is standard output
            help="The file to write; - is stdout.",
        ),
    ] = "k3d-default.yaml",
    force: Force = False,
) -> None:
    """Write a config file to start from."""
    from k3dasync.config.template import TEMPLATE

    _write(output, TEMPLATE, force=force)


def view(
    name: str | None = None,
    /,
    *,
    flags: CreateFlags = DEFAULT_FLAGS,
    raw: Annotated[
        bool, Parameter(negative="", help="Show the token and other secrets, not ***.")
    ] = False,
) -> None:
    """Print what a create would be asked for: file, environment, flags and defaults, merged."""
    from k3dasync.config.writing import document_of, without_secrets, yaml_of
    from k3dasync.streams import show

    spec = flags.asked(name)
    show(yaml_of(document_of(spec if raw else without_secrets(spec))).removesuffix("\n"))


def migrate(
    source: Annotated[
        str, Parameter(name="INPUT", allow_leading_hyphen=True, help="The file; - is stdin.")
    ],
    target: Annotated[
        str,
        Parameter(name="OUTPUT", allow_leading_hyphen=True, help="The file to write; - is stdout."),
    ] = "-",
    /,
) -> None:
    """Write a config file in the newest format; variables in it stay as they are."""
    from k3dasync.config import loading
    from k3dasync.config.source import read
    from k3dasync.config.writing import has_secrets, ordered, yaml_of
    from k3dasync.verbosity import warn

    given = read(source)
    checked = loading.check(given.text, given.origin)
    checked.places.refuse(checked.violations)
    for text in checked.odd:
        warn(text)
    # Of an existing file the mode stays.
    mode = 0o600 if has_secrets(checked.document) else 0o666
    _write(target, yaml_of(ordered(checked.document)), force=True, mode=mode)


def schema(
    *,
    version: Annotated[Version, Parameter(help="The format's version.")] = "v1alpha5",
) -> None:
    """Print the JSON Schema of config files, for editors and other tools."""
    from k3dasync.config import schemas
    from k3dasync.streams import show

    show(schemas.text(version).removesuffix("\n"))


def _write(target: str, text: str, *, force: bool, mode: int = 0o666) -> None:
    """Write a text to a file, or to standard output if that is meant.

    Raises ConfigNotWritten if the file is there and it is not forced, or if it cannot be written.
    """
    from k3dasync.errors import ConfigNotWritten
    from k3dasync.streams import show
    from k3dasync.verbosity import inform

    if target == "-":
        show(text.removesuffix("\n"))
        return
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(os.open(target, flags, mode), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigNotWritten(target, "it is there already; --force replaces it") from None
    except OSError as error:
        raise ConfigNotWritten(target, error.strerror or "unknown error") from error
    inform(f"{target} written")
