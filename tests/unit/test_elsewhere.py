"""Where published ports of a remote engine are, as other programs tell."""

from pathlib import Path

import pytest

from k3dasync.docker.elsewhere import host
from k3dasync.docker.endpoint import Endpoint
from tests.support import asyncio_only

pytestmark = asyncio_only  # a process takes real time, and virtual time would not wait for it

MACHINE = """\
#!/bin/sh
case "$1 $2" in
"ip box") echo 192.168.99.100 ;;
"ip six") echo fd00::7 ;;
"ip here") echo 127.0.0.1 ;;
"ip odd") echo "no address" ;;
*) echo "Host does not exist: $2" >&2; exit 1 ;;
esac
"""
SSH = """\
#!/bin/sh
# As OpenSSH prints it.
[ "$1 $2" = "-G --" ] || exit 1
case "$3" in
me@builder) printf 'user me\\nhostname 10.1.2.3\\nport 22\\n' ;;
builder) printf 'user nobody\\nhostname fd00::9\\nport 22\\n' ;;
here) printf 'hostname localhost\\n' ;;
*) printf 'hostname %s\\n' "${3#*@}" ;;
esac
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH with a docker-machine and an ssh on it that answer as the real ones."""
    for name, text in (("docker-machine", MACHINE), ("ssh", SSH)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return str(tmp_path)


def endpoint(url: str) -> Endpoint:
    return Endpoint(url=url, origin="test")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("box", "192.168.99.100"),
        ("six", "fd00::7"),
        ("here", ""),
        ("odd", "engine.example"),
        ("absent", "engine.example"),
        ("", "engine.example"),
    ],
)
async def test_docker_machine_is_asked(path: str, name: str, expected: str) -> None:
    """Its answer counts if it is an address; else the engine's own address does."""
    environ = {"PATH": path, "DOCKER_MACHINE_NAME": name}

    assert expected == await host(endpoint("tcp://engine.example:2376"), environ)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ssh://me@builder", "10.1.2.3"),
        ("ssh://builder:2222", "fd00::9"),
        ("ssh://here", ""),
        ("ssh://me@build.example.org", "build.example.org"),
        ("ssh://me@10.9.9.9", "10.9.9.9"),
        ("ssh://me@[fd00::1]:22", "fd00::1"),
        ("ssh://localhost", ""),
        ("tcp://builder:2375", "builder"),
        ("unix:///run/docker.sock", ""),
    ],
)
async def test_a_name_of_sshs_configuration_is_looked_up_there(
    path: str, url: str, expected: str
) -> None:
    """DNS need not know it; of other engines ssh is not asked."""
    assert expected == await host(endpoint(url), {"PATH": path})


@pytest.mark.parametrize("url", ["ssh://me@builder", "tcp://builder:2376"])
async def test_without_those_programs_the_address_counts(tmp_path: Path, url: str) -> None:
    """Nobody can be asked."""
    environ = {"PATH": str(tmp_path), "DOCKER_MACHINE_NAME": "box"}

    assert "builder" == await host(endpoint(url), environ)


@pytest.fixture
def broken(path: str) -> str:
    Path(path, "docker-machine").write_bytes(b"\x00")
    return path


async def test_a_program_that_does_not_run_is_none(broken: str) -> None:
    """As a file that is executable and no program."""
    environ = {"PATH": broken, "DOCKER_MACHINE_NAME": "box"}

    assert "engine" == await host(endpoint("tcp://engine:2376"), environ)
