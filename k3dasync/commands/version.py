"""`version` and `version list`."""

from typing import Annotated, Literal

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


def list_versions(
    component: Annotated[
        str, Parameter(name="COMPONENT", help="k3d, k3s, k3d-proxy, k3d-tools, or a repository.")
    ],
    /,
    *,
    include: Annotated[
        str, Parameter(name=["--include", "-i"], help="Only tags in which it is found.")
    ] = ".*",
    exclude: Annotated[
        str | None,
        Parameter(
            name=["--exclude", "-e"], help="No tags in which it is found; k3d's if not given."
        ),
    ] = None,
    output: Annotated[
        Literal["raw", "repo"] | None,
        Parameter(name=["--output", "-o"], help="raw: tags; repo: with the repository."),
    ] = None,
    format: Annotated[
        Literal["raw", "repo"] | None, Parameter(name=["--format", "-f"], show=False)
    ] = None,
    sort: Annotated[
        Literal["desc", "asc", "off"], Parameter(name=["--sort", "-s"], help="By version.")
    ] = "desc",
    limit: Annotated[int, Parameter(name=["--limit", "-l"], help="At most so many; 0: all.")] = 0,
) -> None:
    """List the tags of a component's image, as its registry tells them."""
    import anyio

    from k3dasync.invalid import ConflictingFlags, InvalidValue
    from k3dasync.operations.tags import UNUSUAL, Choice, list_tags
    from k3dasync.streams import show
    from k3dasync.verbosity import warn

    if limit < 0:
        raise InvalidValue(f"--limit {limit}: expected 0 or more")
    if format is not None:
        if output is not None:
            raise ConflictingFlags("give --output, not --format, which is its old name")
        warn("--format is the old name of --output")
    excluded = UNUSUAL if exclude is None else exclude
    choice = Choice(include=include, exclude=excluded, order=sort, limit=limit)
    repository, tags = anyio.run(list_tags, component, choice)
    front = f"{repository}:" if "repo" in (output, format) else ""
    if tags:
        show("\n".join(f"{front}{tag}" for tag in tags))
