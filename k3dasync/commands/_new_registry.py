"""The flags of a registry that is made by itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from k3dasync.grammar import exposure, volumes
from k3dasync.invalid import ConflictingFlags
from k3dasync.spec import RegistryProxy, RegistrySpec, check_registry, read


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NewRegistryFlags:
    """k3d's, with its defaults."""

    image: Annotated[
        str, Parameter(name=["--image", "-i"], show_default=False, help="The registry's image.")
    ] = ""
    port: Annotated[
        str,
        Parameter(
            name=["--port", "-p"],
            allow_repeating=True,
            help="Where it is published: [HOST:]PORT; random lets us choose.",
        ),
    ] = "random"
    volume: Annotated[
        tuple[str, ...],
        Parameter(
            name=["--volume", "-v"],
            negative="",
            consume_multiple=False,
            show_default=False,
            help="[SOURCE:]DESTINATION; NAME:/var/lib/registry keeps its content.",
        ),
    ] = ()
    default_network: Annotated[
        str, Parameter(name="--default-network", help="The network that it is made in.")
    ] = "bridge"
    proxy_remote_url: Annotated[
        str,
        Parameter(
            name="--proxy-remote-url",
            show_default=False,
            help="The registry whose images it hands on and keeps.",
        ),
    ] = ""
    proxy_username: Annotated[
        str, Parameter(name="--proxy-username", show_default=False, help="Who it is there.")
    ] = ""
    proxy_password: Annotated[
        str, Parameter(name="--proxy-password", show_default=False, help="The password for that.")
    ] = ""
    delete_enabled: Annotated[
        bool,
        Parameter(name="--delete-enabled", negative="", help="Images can be deleted from it."),
    ] = False
    enforce_port_match: Annotated[
        bool,
        Parameter(
            name="--enforce-port-match",
            negative="",
            help="It listens inside where it is published outside.",
        ),
    ] = False
    no_help: Annotated[
        bool, Parameter(name="--no-help", negative="", help="Print no examples.")
    ] = False
    cluster: Annotated[
        tuple[str, ...],
        Parameter(
            name=["--cluster", "-c"],
            negative="",
            consume_multiple=False,
            show_default=False,
            help="Then connect it to these clusters.",
        ),
    ] = ()

    def spec(self, name: str) -> RegistrySpec:
        """Return the registry of that name that is asked for; raises SpecError if it cannot be."""
        if not self.proxy_remote_url and (self.proxy_username or self.proxy_password):
            raise ConflictingFlags("--proxy-username and --proxy-password need --proxy-remote-url")
        proxy = None
        if self.proxy_remote_url:
            proxy = RegistryProxy(self.proxy_remote_url, self.proxy_username, self.proxy_password)
        asked = RegistrySpec(
            name=name,
            exposure=read("--port", exposure.parse, self.port),
            image=self.image or None,
            proxy=proxy,
            volumes=tuple(map(_volume, self.volume)),
            enforce_port_match=self.enforce_port_match,
            allows_delete=self.delete_enabled,
        )
        return check_registry(asked)


def _volume(text: str) -> str:
    """Return a mapping whose source, if that is a path from here, is a path from the root."""
    # k3d takes filters of nodes here, and ignores them.
    mapping = read("--volume", volumes.parse, text.partition("@")[0])
    return str(volumes.from_folder(mapping, str(Path.cwd())))


DEFAULT_FLAGS = NewRegistryFlags()
