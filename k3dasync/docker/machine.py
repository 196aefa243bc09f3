"""Where docker-machine's machines are: its program is asked, as k3d does."""

import ipaddress
import shutil
import subprocess
from collections.abc import Mapping

import anyio

_PROGRAM = "docker-machine"
ANSWER_TIMEOUT = 20.0
"""Its drivers ask a hypervisor or a cloud, which takes a few seconds."""


async def address(environ: Mapping[str, str]) -> str:
    """Return the address of the machine that `DOCKER_MACHINE_NAME` names; empty if nobody knows.

    `DOCKER_HOST`, which docker-machine sets too, says nearly always the same, so a program that is
    absent or fails is no error.
    """
    name = environ.get("DOCKER_MACHINE_NAME", "").strip()
    program = shutil.which(_PROGRAM, path=environ.get("PATH"))
    if not name or program is None:
        return ""
    try:
        with anyio.fail_after(ANSWER_TIMEOUT):
            done = await anyio.run_process(
                [program, "ip", name], env=environ, check=False, stderr=subprocess.DEVNULL
            )
        return str(ipaddress.ip_address(done.stdout.decode().strip()))
    except (OSError, TimeoutError, ValueError):
        return ""
