"""`debug loadbalancer get-config`."""

from typing import TYPE_CHECKING

from k3dasync.commands._create_flags import RuntimeFlag

if TYPE_CHECKING:
    from k3dasync.runtime import EngineReader


def get_config(name: str, /, *, runtime: RuntimeFlag = "docker") -> None:
    """Print what a load balancer forwards, running or not, as k3d writes it."""
    from k3dasync.commands._tables import print_list
    from k3dasync.operations import edit
    from k3dasync.spec import check_name

    check_name(name)

    async def ask(engine: "EngineReader", _how: str) -> str:
        return (await edit.configuration(name, engine)).rstrip("\n")

    print_list("yaml", runtime, ask)
