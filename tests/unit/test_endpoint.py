"""Where the engine is, by docker's rules."""

import hashlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from k3dasync.docker.endpoint import Endpoint, Tls, resolve
from k3dasync.errors import EngineUnavailable


def write_config(home: Path, **config: Any) -> Path:
    folder = home / ".docker"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_context(
    folder: Path, name: str, host: str, *, files: tuple[str, ...] = (), skip: bool = False
) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta, tls = folder / "contexts" / "meta" / digest, folder / "contexts" / "tls" / digest
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip}
    (meta / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
    )
    (tls / "docker").mkdir(parents=True)
    for file in files:
        (tls / "docker" / f"{file}.pem").write_text("PEM")
    return tls / "docker"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("unix://", "unix:///var/run/docker.sock"),
        ("tcp://10.0.0.1:4243", "tcp://10.0.0.1:4243"),
        ("tcp://engine", "tcp://engine:2375"),
        ("http://engine:80", "tcp://engine:80"),
        ("engine:2375", "tcp://engine:2375"),
        ("tcp://[fd00::1]:2375", "tcp://[fd00::1]:2375"),
        ("ssh://me@engine", "ssh://me@engine"),
        ("  unix:///run/x.sock\n", "unix:///run/x.sock"),
    ],
)
def test_docker_host_in_every_form(home: Path, said: str, url: str) -> None:
    """What docker understands is understood."""
    assert Endpoint(url=url, origin="DOCKER_HOST") == resolve({"DOCKER_HOST": said}, home)


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("unix:///run/x.sock", ""),
        ("tcp://127.0.0.1:2375", ""),
        ("tcp://127.8.8.8:2375", ""),
        ("tcp://localhost:2375", ""),
        ("tcp://[::1]:2375", ""),
        ("tcp://docker:2375", "docker"),
        ("tcp://10.1.2.3:2375", "10.1.2.3"),
        ("ssh://me@build.example.org:2222", "build.example.org"),
        ("ssh://localhost", ""),
        ("ssh://me@[fd00::7]:22", "fd00::7"),
        ("tcp://[fd00::1]:2375", "fd00::1"),
        ("tcp://0.0.0.0:2375", ""),
    ],
)
def test_published_ports_are_where_the_engine_is(home: Path, said: str, host: str) -> None:
    """Empty stands for this machine, which a socket and a loopback address mean."""
    assert host == resolve({"DOCKER_HOST": said}, home).host


def test_docker_host_wins_over_contexts(home: Path) -> None:
    """As docker has it, and not the other way round."""
    folder = write_config(home, currentContext="remote")
    write_context(folder, "remote", "tcp://remote:2375")
    environ = {"DOCKER_HOST": "unix:///run/x.sock", "DOCKER_CONTEXT": "remote"}

    assert "unix:///run/x.sock" == resolve(environ, home).url


def test_the_context_of_the_environment_wins_over_the_current_one(home: Path) -> None:
    """The environment is closer than a file."""
    folder = write_config(home, currentContext="one")
    write_context(folder, "one", "unix:///one.sock")
    write_context(folder, "two", "unix:///two.sock")

    expected = Endpoint(url="unix:///two.sock", origin="docker context two")
    assert expected == resolve({"DOCKER_CONTEXT": "two"}, home)
    assert "unix:///one.sock" == resolve({}, home).url


def test_docker_config_moves_the_contexts(home: Path, tmp_path: Path) -> None:
    """The whole folder is elsewhere."""
    folder = write_config(home, currentContext="one")
    write_context(folder, "one", "unix:///one.sock")

    environ = {"DOCKER_CONFIG": str(folder)}
    assert "unix:///one.sock" == resolve(environ, tmp_path / "nowhere").url


def test_a_context_that_does_not_exist(home: Path) -> None:
    """The message names it and how to see the others."""
    with pytest.raises(EngineUnavailable, match=r"context gone \(from DOCKER_CONTEXT\).*ls"):
        resolve({"DOCKER_CONTEXT": "gone"}, home)


def test_an_unreadable_configuration(home: Path) -> None:
    """It may name a context, so it cannot be passed over."""
    write_config(home)
    (home / ".docker" / "config.json").write_text("{")

    with pytest.raises(EngineUnavailable, match=r"cannot read .*config\.json"):
        resolve({}, home)


@pytest.mark.parametrize("said", ["npipe:////./pipe/docker_engine", "tcp://", "tcp://x:port"])
def test_what_cannot_be_understood(home: Path, said: str) -> None:
    """On one line, with what was said and who said it."""
    with pytest.raises(EngineUnavailable, match="DOCKER_HOST says") as raised:
        resolve({"DOCKER_HOST": said}, home)

    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert 69 == raised.value.exit_code


@pytest.mark.parametrize(
    ("environ", "verify"),
    [
        ({"DOCKER_TLS_VERIFY": "1"}, True),
        ({"DOCKER_TLS_VERIFY": "0"}, True),
        ({"DOCKER_TLS": "1"}, False),
    ],
)
def test_tls_of_the_environment(home: Path, environ: Mapping[str, str], verify: bool) -> None:
    """Any value asks for it, as with docker; the files are those of DOCKER_CERT_PATH."""
    for name in ("ca", "cert", "key"):
        (home / f"{name}.pem").write_text("PEM")
    said = {"DOCKER_HOST": "tcp://engine", "DOCKER_CERT_PATH": str(home), **environ}

    expected = Endpoint(
        url="tcp://engine:2376",
        origin="DOCKER_HOST",
        tls=Tls(
            ca=home / "ca.pem",
            certificate=home / "cert.pem",
            key=home / "key.pem",
            verify=verify,
        ),
    )
    assert expected == resolve(said, home)


def test_tls_without_an_authority_is_not_taken_for_none(home: Path) -> None:
    """Who asks for verification and has no ca.pem must not be connected without it."""
    found = resolve({"DOCKER_HOST": "tcp://engine", "DOCKER_TLS_VERIFY": "1"}, home)

    assert Tls(ca=home / ".docker" / "ca.pem") == found.tls


def test_tls_of_a_context(home: Path) -> None:
    """Its own files, and its own word on verification."""
    folder = write_config(home)
    certificates = write_context(folder, "secure", "tcp://engine:2376", files=("ca", "cert", "key"))
    write_context(folder, "plain", "tcp://engine:2375")
    write_context(folder, "lax", "tcp://engine:2376", skip=True)

    expected = Tls(
        ca=certificates / "ca.pem",
        certificate=certificates / "cert.pem",
        key=certificates / "key.pem",
    )
    assert expected == resolve({"DOCKER_CONTEXT": "secure"}, home).tls
    assert resolve({"DOCKER_CONTEXT": "plain"}, home).tls is None
    assert Tls(verify=False) == resolve({"DOCKER_CONTEXT": "lax"}, home).tls


def test_the_first_default_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rootless engine's, where the usual ones are not there."""
    monkeypatch.setattr(Path, "is_socket", lambda self: self == home / "docker.sock")

    found = resolve({"XDG_RUNTIME_DIR": str(home)}, home)

    assert Endpoint(url=f"unix://{home}/docker.sock", origin="default socket") == found


def test_the_user_s_own_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker Desktop's, found as a real socket."""
    folder = home / ".docker" / "run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)  # a socket's path has at most 107 bytes
    real = Path.is_socket
    monkeypatch.setattr(Path, "is_socket", lambda self: self.is_relative_to(home) and real(self))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("docker.sock")
        found = resolve({"DOCKER_CONTEXT": "default"}, home)

    assert f"unix://{folder}/docker.sock" == found.url


def test_no_engine_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says where was looked and what to do."""
    monkeypatch.setattr(Path, "is_socket", lambda _: False)

    with pytest.raises(EngineUnavailable) as raised:
        resolve({}, home)

    expected = (
        "no container engine: no socket at /run/docker.sock, /var/run/docker.sock, "
        f"{home}/.docker/run/docker.sock; start Docker or set DOCKER_HOST"
    )
    assert expected == str(raised.value)


def test_a_password_is_not_shown(home: Path) -> None:
    """Neither in messages nor in events."""
    found = resolve({"DOCKER_HOST": "ssh://me:secret@engine:22"}, home)

    assert "ssh://me@engine:22" == found.shown
