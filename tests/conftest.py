"""Backends and state directories for every test."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.engine import docker_host, engine_url, own_name  # noqa: F401 - fixtures for all


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Run on asyncio and on trio; on trio time is virtual and jumps when everybody waits.

    `tests.support.virtual_time` and `tests.support.asyncio_only` choose one.
    """
    if request.param == "trio":
        return ("trio", {"clock": MockClock(autojump_threshold=0)})
    return request.param


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own home, state and kubeconfig; return the home."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    for name in ("KUBECONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "K3DASYNC_LIMITS"):
        monkeypatch.delenv(name, raising=False)
    return home
