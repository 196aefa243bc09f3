"""A kubeconfig of one cluster in a file for one command: private, and gone afterwards."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
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
    from k3dasync import kubeconfig
    from k3dasync.kubeconfig import KubeconfigError

    try:
        folder = _folder()
        _forget_the_dead(folder)
        mine = f"{os.getpid()}-{name}-"
        descriptor, path = tempfile.mkstemp(dir=folder, prefix=mine, suffix=".yaml")
        with os.fdopen(descriptor, "wb") as file:  # mkstemp made it 0600
            file.write(kubeconfig.dump(config))
    except OSError as error:
        raise KubeconfigError(f"cannot write {error.filename}: {error.strerror}") from error
    try:
        yield {**os.environ, "KUBECONFIG": path, CLUSTER: name}
    finally:
        with suppress(OSError):
            Path(path).unlink()


def _folder() -> Path:
    """Return where files live that no longer than a session do: in memory where there is such."""
    from k3dasync.journal import state_dir

    given = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    folder = given if given.is_absolute() and os.access(given, os.W_OK) else state_dir()
    found = folder / "k3dasync" if folder == given else folder / "kubeconfigs"
    found.mkdir(parents=True, exist_ok=True, mode=0o700)
    return found


def _forget_the_dead(folder: Path) -> None:
    """Remove the files of processes that could not: they were killed."""
    for path in folder.glob("*-*.yaml"):
        number = path.name.partition("-")[0]
        if number.isdecimal() and not _is_alive(int(number)):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's, so that the number is in use again
    return True
