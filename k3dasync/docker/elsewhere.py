"""Where a remote engine's published ports are reached: what its address alone does not say."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import anyio

from k3dasync import addresses
from k3dasync.docker.endpoint import Endpoint, is_here

MACHINE_TIMEOUT = 20.0
"""docker-machine's drivers ask a hypervisor or a cloud, which takes a few seconds."""
SSH_TIMEOUT = 5.0
"""`ssh -G` reads files, which takes milliseconds, and runs what `Match exec` says in them."""


async def host(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """Return where clients find the engine's published ports; empty: on this machine.

    That is docker-machine's answer for the machine that `DOCKER_MACHINE_NAME` names, or what ssh's
    configuration says of a name, which DNS need not know, or else the host of the address. A
    program that is absent or fails is no error: the address nearly always says the same.
    """
    found = await _of_machine(environ) or await _of_ssh(endpoint, environ) or endpoint.host
    return "" if is_here(found) else found


async def _of_machine(environ: Mapping[str, str]) -> str:
    name = environ.get("DOCKER_MACHINE_NAME", "").strip()
    if not name:
        return ""
    said = await _answer(("docker-machine", "ip", name), environ, MACHINE_TIMEOUT)
    return said if addresses.is_address(said) else ""


async def _of_ssh(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    if (
        not endpoint.url.startswith("ssh://")
        or not endpoint.host
        or addresses.is_address(endpoint.host)
    ):
        return ""
    user = urlsplit(endpoint.url).username
    target = f"{user}@{endpoint.host}" if user else endpoint.host
    said = await _answer(("ssh", "-G", "--", target), environ, SSH_TIMEOUT)
    options = (line.partition(" ") for line in said.splitlines())
    return next((value.strip() for key, _, value in options if key == "hostname"), "")


async def _answer(command: Sequence[str], environ: Mapping[str, str], seconds: float) -> str:
    """Return what a program says, nothing if it is not there or fails."""
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        return ""
    try:
        with anyio.fail_after(seconds):
            done = await anyio.run_process(
                [program, *command[1:]], env=environ, check=False, stderr=subprocess.DEVNULL
            )
    except (OSError, TimeoutError):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
