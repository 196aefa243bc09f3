"""A kubeconfig of one cluster in a file for one command: private, and gone afterwards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from k3dasync.kubeconfig import Config

CLUSTER = "K3DASYNC_CLUSTER"
"""Tells a shell's prompt, and scripts in it, which cluster it is about."""


def usable(name: str, runtime: str) -> "Config":
    """Return the kubeconfig of a cluster that runs; raises ClusterNotFound or ClusterDown."""
    import anyio

    from k3dasync import backend
    from k3dasync.grammar.names import check_given
    from k3dasync.operations.kubeconfigs import usable_kubeconfig

    check_given(name)

    async def perform() -> "Config":
        async with backend.reading(runtime) as engine:
            return await usable_kubeconfig(name, runtime=engine)

    return anyio.run(perform)


@contextmanager
def environment(name: str, config: "Config") -> Iterator[Mapping[str, str]]:
    """Yield the environment in which kubectl uses that cluster alone."""
    from k3dasync.kubeconfig import KubeconfigError, dump, private

    with ExitStack() as stack:
        try:
            for path in private.abandoned():
                private.forget(path)
            path = stack.enter_context(private.private_file(name, dump(config)))
        except OSError as error:
            raise KubeconfigError(f"cannot write {error.filename}: {error.strerror}") from error
        yield {**os.environ, "KUBECONFIG": str(path), CLUSTER: name}
