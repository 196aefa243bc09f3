"""`version`."""

from typing import Annotated

from cyclopts import Parameter


def version(
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"], help="text or json.")] = "text",
) -> None:
    """Print our version and the default k3s version."""
    from k3dasync import __version__
    from k3dasync.commands._tables import form_of
    from k3dasync.images import K3S_VERSION
    from k3dasync.streams import show

    if form_of(output, "text", "json") == "json":
        show(f'{{"k3dasync":"{__version__}","k3s":"{K3S_VERSION}"}}')
    else:
        show(f"k3dasync version {__version__}\nk3s version {K3S_VERSION} (default)")
