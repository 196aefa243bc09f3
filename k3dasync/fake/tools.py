"""Small programs of the fake engine's nodes, besides containerd's."""

from collections.abc import Sequence

from k3dasync import entrypoint
from k3dasync.fake.state import Container
from k3dasync.runtime import Executed


def run(container: Container, command: Sequence[str]) -> Executed | None:
    """Run `rm`, the script that tells pods of names, or `kubectl`; None if it is none of them."""
    match tuple(command):
        case ("rm", "-f" | "-rf", *paths):
            for path in [one for one in container.files if _is_below(one, paths)]:
                del container.files[path]
            return Executed(code=0)
        case (entrypoint.COREDNS_PATH,) if entrypoint.COREDNS_PATH in container.files:
            return Executed(code=0)
        case ("kubectl", "delete", "configmap", *_):
            return Executed(code=0)  # nobody can ask for ConfigMaps here
        case _:
            return None


def _is_below(file: str, paths: Sequence[str]) -> bool:
    return any(f"{file}/".startswith(f"{path}/") for path in paths)
