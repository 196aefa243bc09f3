"""Where docker-machine says that a machine is."""

from pathlib import Path

import pytest

from k3dasync.docker import machine
from tests.support import asyncio_only

pytestmark = asyncio_only  # a process takes real time, and virtual time would not wait for it


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Put a docker-machine on a PATH of its own; it answers as the real one."""
    path = tmp_path / "docker-machine"
    path.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        '"ip box") echo 192.168.99.100 ;;\n'
        '"ip six") echo fd00::7 ;;\n'
        '"ip odd") echo "no address" ;;\n'
        '*) echo "Host does not exist: $2" >&2; exit 1 ;;\n'
        "esac\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [("box", "192.168.99.100"), ("six", "fd00::7"), ("odd", ""), ("absent", ""), ("", "")],
)
async def test_the_program_is_asked(program: Path, name: str, expected: str) -> None:
    """Its answer counts if it is an address; a failure leaves it to DOCKER_HOST."""
    environ = {"PATH": str(program.parent), "DOCKER_MACHINE_NAME": name}

    assert expected == await machine.address(environ)


async def test_without_the_program_nobody_is_asked(tmp_path: Path) -> None:
    """A name alone says nothing."""
    environ = {"PATH": str(tmp_path), "DOCKER_MACHINE_NAME": "box"}

    assert "" == await machine.address(environ)


@pytest.fixture
def broken(program: Path) -> Path:
    program.write_bytes(b"\x00")
    return program


async def test_a_program_that_does_not_run_is_none(broken: Path) -> None:
    """As a file that is executable and no program."""
    environ = {"PATH": str(broken.parent), "DOCKER_MACHINE_NAME": "box"}

    assert "" == await machine.address(environ)
