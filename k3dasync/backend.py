"""The outside world of an operation: an engine, and the APIs of the clusters on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from k3dasync.etcd import EtcdConnect
from k3dasync.host import LookAtHost
from k3dasync.invalid import InvalidRuntime
from k3dasync.kubernetes import KubernetesConnect
from k3dasync.registry_probe import RegistryAnswers, answers
from k3dasync.runtime import EngineReader, Runtime

DEFAULT = "docker"
_ALIASES = {"docker": "k3dasync.docker:backend", "fake": "k3dasync.fake:backend"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One engine and how to reach the Kubernetes APIs and the etcds of its clusters.

    A rehearsal's clusters end with its process: nothing of them goes into the user's files.
    `look` looks at the engine's host, if the engine's facts say that it is this machine.
    `registry_answers` asks the registries that are published there.
    """

    runtime: Runtime
    kubernetes: KubernetesConnect
    etcd: EtcdConnect
    is_rehearsal: bool = False
    look: LookAtHost | None = None
    registry_answers: RegistryAnswers = answers


OpenBackend = Callable[[], AbstractAsyncContextManager[Backend]]


def find(name: str) -> OpenBackend:
    """Return what opens the backend of that name: `docker`, `fake`, or `module:attribute`.

    Raises SpecError if there is none.
    """
    opener = _load(name, _ALIASES.get(name, name))
    if not callable(opener):
        raise InvalidRuntime(f"--runtime {name}: that opens no backend, it cannot be called")

    def open() -> AbstractAsyncContextManager[Backend]:
        opened = opener()
        if not isinstance(opened, AbstractAsyncContextManager):
            raise InvalidRuntime(
                f"--runtime {name}: it opens {type(opened).__name__}, not a backend"
            )
        return opened

    return open


@asynccontextmanager
async def reading(name: str, *, patience: float | None = None) -> AsyncIterator[EngineReader]:
    """Open the backend of that name only to look, by its quickest way; raises as `find` does.

    *patience* is for one answer of an engine on this machine, in seconds; None is a long one.
    """
    if name == DEFAULT:
        async with _load(name, "k3dasync.docker:open_reader")(patience) as reader:
            yield reader
    else:
        async with find(name)() as opened:
            yield opened.runtime


def _load(name: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    if not (module and attribute):
        known = ", ".join(_ALIASES)
        raise InvalidRuntime(f"--runtime {name!r}: expected {known} or module:attribute")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidRuntime(f"--runtime {name}: {error}") from error
