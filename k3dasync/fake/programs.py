"""Which program a container runs, judged by its command and files."""

from collections.abc import Awaitable, Callable

import anyio

from k3dasync import nginx
from k3dasync.fake import balancer, k3s, registry
from k3dasync.fake.machine import Machine
from k3dasync.fake.process import KILLED, Process, Program
from k3dasync.fake.state import Container

K3S_TERM_CODE = 1
"""k3s exits 1 on SIGTERM, not 0 and not 143."""

_K3S = {"server": k3s.server, "agent": k3s.agent}


def of(machine: Machine, container: Container) -> Program:
    """Return what a container runs: k3s, the load balancer, or something that does nothing."""
    command = container.spec.command or ()
    main = _K3S.get(command[0]) if command else None
    if main is not None:
        return Program(_bound(main, machine, container), K3S_TERM_CODE)
    if registry.is_registry(container):
        return Program(_bound(registry.run, machine, container), 0)
    if {nginx.CONFIG_PATH, nginx.VALUES_PATH} & container.files.keys():

        async def balance(process: Process) -> None:
            await balancer.run(machine, container, process)

        return Program(balance, 0)
    return Program(_idle, KILLED)


def _bound(
    main: Callable[[Machine, Container], Awaitable[None]], machine: Machine, container: Container
) -> Callable[[Process], Awaitable[None]]:
    async def run(_: Process) -> None:
        await main(machine, container)

    return run


async def _idle(_: Process) -> None:
    await anyio.sleep_forever()
