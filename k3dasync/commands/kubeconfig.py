"""`kubeconfig get` and `kubeconfig merge`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.invalid import ConflictingFlags, InvalidOutput, MissingValue
from k3dasync.spec import DEFAULT_NAME

if TYPE_CHECKING:
    from k3dasync.operations.kubeconfigs import Kubeconfigs

AllFlag = Annotated[bool, Parameter(name=["--all", "-a"], negative="", help="All clusters.")]


def get(*names: str, all: AllFlag = False, runtime: RuntimeFlag = "docker") -> None:
    """Print the kubeconfigs of clusters."""
    from k3dasync import kubeconfig
    from k3dasync.streams import show

    if all == bool(names):
        raise MissingValue("give the names of clusters, or --all")
    fetched = _fetch(None if all else names, runtime)
    for config in fetched.found.values():
        show(f"---\n{kubeconfig.dump(config).decode()}".removesuffix("\n"))
    fetched.raise_if_any_is_missing()


def merge(
    *names: str,
    all: AllFlag = False,
    output: Annotated[
        str | None,
        Parameter(
            name=["--output", "-o"],
            allow_leading_hyphen=True,
            help="Write to this file; - is stdout.",
        ),
    ] = None,
    kubeconfig_merge_default: Annotated[
        bool,
        Parameter(
            name=["--kubeconfig-merge-default", "-d"],
            negative="",
            help="Merge into the default kubeconfig.",
        ),
    ] = False,
    update: Annotated[
        bool,
        Parameter(name=["--update", "-u"], negative="", help="Replace entries of the same name."),
    ] = True,
    kubeconfig_switch_context: Annotated[
        bool,
        Parameter(
            name=["--kubeconfig-switch-context", "-s"],
            negative="",
            help="Make it the current context.",
        ),
    ] = True,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Replace the file instead of merging into it.")
    ] = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Write kubeconfigs of clusters into files, and print the files' names."""
    from k3dasync import kubeconfig
    from k3dasync.streams import show

    if all and names:
        raise ConflictingFlags("give names or --all, not both")
    _check_output(output, into_default=kubeconfig_merge_default)
    written: list[str] = []
    fetched = _fetch(None if all else names or (DEFAULT_NAME,), runtime)
    for name, config in fetched.found.items():
        if output == "-":
            show(kubeconfig.dump(config).decode().removesuffix("\n"))
            continue
        path = _target(name, output, into_default=kubeconfig_merge_default)
        # Of several clusters only the first one replaces the file, the others join it there.
        if overwrite and str(path) not in written:
            kubeconfig.write(path, kubeconfig.dump(config))
        else:
            switch = kubeconfig_switch_context
            kubeconfig.merge_into(str(path), config, switch=switch, update=update)
        written.append(str(path))
    if written:
        show(os.pathsep.join(dict.fromkeys(written)))
    fetched.raise_if_any_is_missing()


def _check_output(output: str | None, *, into_default: bool) -> None:

    if output == "":
        raise InvalidOutput("--output is empty: expected a path, or - for standard output")
    if output is not None and into_default:
        raise ConflictingFlags("give --output or --kubeconfig-merge-default, not both")


def _target(name: str, output: str | None, *, into_default: bool) -> Path:
    from k3dasync import kubeconfig

    if into_default:
        return kubeconfig.default_path()
    return Path(output) if output is not None else kubeconfig.own_path(name)


def _fetch(names: tuple[str, ...] | None, runtime: str) -> "Kubeconfigs":
    from k3dasync.commands._run import Session, run
    from k3dasync.operations.kubeconfigs import Kubeconfigs, kubeconfigs

    async def perform(session: Session) -> Kubeconfigs:
        return await kubeconfigs(names, backend=session.backend)

    return run(perform, runtime=runtime)
