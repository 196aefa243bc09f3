"""`kubeconfig get`, `kubeconfig merge` and `kubeconfig remove`."""

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._clusters import AllFlag, wanted
from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.invalid import ConflictingFlags, InvalidOutput, MissingValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from k3dasync.kubeconfig import Config
    from k3dasync.operations.kubeconfigs import Kubeconfigs

ContextFlag = Annotated[
    str | None, Parameter(help="The context's name; k3d-NAME if not given. For one cluster.")
]


def get(
    *names: str,
    all: AllFlag = False,
    context: ContextFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Print the kubeconfigs of clusters."""
    from k3dasync import kubeconfig
    from k3dasync.streams import show

    if all == bool(names):
        raise MissingValue("give the names of clusters, or --all")
    fetched = _fetch(wanted(names, is_all=all), context, runtime)
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
    context: ContextFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Write kubeconfigs of clusters into files, and print the files' names."""
    from k3dasync.streams import show

    clusters = wanted(names, is_all=all)
    _check_output(output, into_default=kubeconfig_merge_default)
    fetched = _fetch(clusters, context, runtime)
    how = Merge(
        output,
        into_default=kubeconfig_merge_default,
        update=update,
        switch=kubeconfig_switch_context,
        overwrite=overwrite,
    )
    written = how.write(fetched.found)
    if written:
        show(os.pathsep.join(written))
    fetched.raise_if_any_is_missing()


@dataclass(frozen=True)
class Merge:
    """Where kubeconfigs go, and what becomes of what is there."""

    output: str | None
    _: KW_ONLY
    into_default: bool
    update: bool
    switch: bool
    overwrite: bool

    def write(self, found: "Mapping[str, Config]") -> list[str]:
        """Write them and return the files, each once."""
        from k3dasync import kubeconfig
        from k3dasync.streams import show

        written: dict[str, None] = {}
        for name, config in found.items():
            if self.output == "-":
                show(kubeconfig.dump(config).decode().removesuffix("\n"))
                continue
            path = _target(name, self.output, into_default=self.into_default)
            # Of several clusters only the first one replaces the file, the others join it there.
            if self.overwrite and str(path) not in written:
                kubeconfig.replace(path, kubeconfig.dump(config))
            else:
                kubeconfig.merge_into(str(path), config, switch=self.switch, update=self.update)
            written[str(path)] = None
        return list(written)


def remove(*names: str, all: AllFlag = False) -> None:
    """Remove clusters from the user's kubeconfigs, be they there still or not.

    From those of KUBECONFIG or the default one, and with the files that merge has written.
    """
    from k3dasync import kubeconfig
    from k3dasync.kubeconfig import KubeconfigError
    from k3dasync.verbosity import inform

    if all == bool(names):
        raise MissingValue("give the names of clusters, or --all")
    problems: list[str] = []
    for name in kubeconfig.known_clusters() if all else dict.fromkeys(names):
        found = kubeconfig.search(name)
        problems += found.problems
        changed = [path for path in found.found if kubeconfig.remove_from(path, name)]
        for path in changed:
            inform(f"cluster {name} removed from {path}")
        if not changed:
            inform(f"cluster {name}: no kubeconfig knows it")
    if problems:
        raise KubeconfigError("; ".join(dict.fromkeys(problems)))


def _check_output(output: str | None, *, into_default: bool) -> None:
    if output == "":
        raise InvalidOutput("--output is empty: expected a path, or - for standard output")
    if output is not None and into_default:
        raise ConflictingFlags("give --output or --kubeconfig-merge-default, not both")


def _target(name: str, output: str | None, *, into_default: bool) -> Path:
    from k3dasync import kubeconfig

    if into_default:
        return kubeconfig.default_path(name)
    return Path(output) if output is not None else kubeconfig.own_path(name)


def _fetch(names: "Sequence[str] | None", context: str | None, runtime: str) -> "Kubeconfigs":
    from k3dasync.commands._run import Session, run
    from k3dasync.operations.kubeconfigs import Kubeconfigs, kubeconfigs

    if context is not None and (not context or names is None or len(names) > 1):
        raise ConflictingFlags("--context is a name for one cluster: name that cluster, no other")

    async def perform(session: Session) -> Kubeconfigs:
        return await kubeconfigs(names, backend=session.backend, context=context)

    return run(perform, runtime=runtime)
