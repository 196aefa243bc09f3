"""Where the container engine is, by docker's own rules. Pure over an environment and files.

`DOCKER_HOST` wins over everything, then `DOCKER_CONTEXT`, then the current context of docker's
configuration, then the sockets an engine makes by default. No engine is asked here.
"""

import errno
import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from k3dasync.errors import EngineUnavailable

WHAT_TO_DO = "start Docker or set DOCKER_HOST"
_SCHEMES = ("unix", "tcp", "http", "https", "ssh")
_PORT, _TLS_PORT = 2375, 2376  # registered for the engine's API, plain and TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files for a TLS connection; None: there is none. `verify`: the server must prove itself."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An engine's address: `unix:///path`, `tcp://host:port` or `ssh://user@host:port`.

    `origin` says who chose it, for messages.
    """

    url: str
    origin: str
    tls: Tls | None = None

    @property
    def host(self) -> str:
        """Where published ports are reached; empty: on this machine."""
        name = urlsplit(self.url).hostname or ""
        return "" if is_here(name) else name

    @property
    def shown(self) -> str:
        """The address without a password, for events and messages."""
        parts = urlsplit(self.url)
        if parts.password is None:
            return self.url
        where = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{parts.username}@{where}").geturl()


def resolve(environ: Mapping[str, str], home: Path) -> Endpoint:
    """Return the endpoint docker's own command would use.

    Raises EngineUnavailable, which says what was looked for, if there is none or if what names it
    cannot be understood.
    """
    config = config_folder(environ, home)
    if host := environ.get("DOCKER_HOST", "").strip():
        return _of_environ(host, environ, config)
    name, origin = environ.get("DOCKER_CONTEXT", ""), "DOCKER_CONTEXT"
    if not name:
        name, origin = _current_context(config), str(config / "config.json")
    if name and name != "default":
        return _of_context(name, origin, config)
    return _default_socket(environ, home)


def config_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Return where docker's command keeps its configuration."""
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def read_config(path: Path) -> Mapping[str, Any]:
    """Return a JSON file of docker's; empty if there is none.

    Raises EngineUnavailable if it cannot be read.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EngineUnavailable(f"cannot read {path}: {error}; {WHAT_TO_DO}") from error
    return found if isinstance(found, dict) else {}


def _of_environ(host: str, environ: Mapping[str, str], config: Path) -> Endpoint:
    tls = None
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))  # any value counts, "0" too
    if verify or environ.get("DOCKER_TLS"):
        folder = Path(environ.get("DOCKER_CERT_PATH") or config)
        # Asked to verify, docker insists on the authority; the client's own pair may be absent.
        found = _tls_files(folder, verify=verify)
        tls = Tls(
            ca=folder / "ca.pem" if verify else found.ca,
            certificate=found.certificate,
            key=found.key,
            verify=verify,
        )
    return _endpoint(host, "DOCKER_HOST", tls)


def _current_context(config: Path) -> str:
    return str(read_config(config / "config.json").get("currentContext") or "")


def _of_context(name: str, origin: str, config: Path) -> Endpoint:
    folder = hashlib.sha256(name.encode()).hexdigest()  # docker's name for the context's files
    found = read_config(config / "contexts" / "meta" / folder / "meta.json")
    docker = found.get("Endpoints", {}).get("docker", {})
    if not docker.get("Host"):
        raise EngineUnavailable(
            f"no container engine: docker context {name} (from {origin}) does not exist or names "
            f"no engine; choose one of: docker context ls"
        )
    skips = bool(docker.get("SkipTLSVerify"))
    tls = _tls_files(config / "contexts" / "tls" / folder / "docker", verify=not skips)
    has_tls = skips or tls.ca is not None or tls.certificate is not None
    return _endpoint(str(docker["Host"]), f"docker context {name}", tls if has_tls else None)


def _tls_files(folder: Path, *, verify: bool) -> Tls:
    ca, certificate, key = (
        path if (path := folder / f"{name}.pem").is_file() else None
        for name in ("ca", "cert", "key")
    )
    return Tls(ca=ca, certificate=certificate, key=key, verify=verify)


def _default_socket(environ: Mapping[str, str], home: Path) -> Endpoint:
    candidates = [Path("/run/docker.sock"), Path("/var/run/docker.sock")]
    if runtime_folder := environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(runtime_folder, "docker.sock"))  # a rootless engine's
    candidates.append(home / ".docker" / "run" / "docker.sock")
    for path in candidates:
        if path.is_socket():
            return Endpoint(url=f"unix://{path}", origin="default socket")
    tried = ", ".join(str(path) for path in candidates)
    raise EngineUnavailable(f"no container engine: no socket at {tried}; {WHAT_TO_DO}")


def _endpoint(host: str, origin: str, tls: Tls | None) -> Endpoint:
    scheme, has_scheme, rest = host.partition("://")
    if not has_scheme:
        scheme, rest = "tcp", host  # docker reads `host:port` so
    if scheme not in _SCHEMES or (scheme != "unix" and not rest):
        raise EngineUnavailable(
            f"no container engine: {origin} says {host}; expected unix://PATH, tcp://HOST:PORT "
            "or ssh://USER@HOST"
        )
    if scheme == "unix":
        return Endpoint(url=f"unix://{rest or '/var/run/docker.sock'}", origin=origin)
    if scheme == "ssh":
        return Endpoint(url=f"ssh://{rest}", origin=origin)
    if scheme == "https" and tls is None:
        tls = Tls()
    return Endpoint(url=_with_port(rest, tls, host, origin), origin=origin, tls=tls)


def _with_port(rest: str, tls: Tls | None, host: str, origin: str) -> str:
    parts = urlsplit(f"tcp://{rest}")
    try:
        port = parts.port or (_PORT if tls is None else _TLS_PORT)
    except ValueError as error:
        raise EngineUnavailable(f"no container engine: {origin} says {host}: {error}") from error
    name = parts.hostname or "localhost"
    return f"tcp://[{name}]:{port}" if ":" in name else f"tcp://{name}:{port}"


def is_here(name: str) -> bool:
    """Say whether a host means this machine, as no host does."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in {"", "localhost"} or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified  # a client of 0.0.0.0 ends up here


def unavailable(endpoint: Endpoint, reason: str, number: int | None) -> EngineUnavailable:
    """Return the one line about an engine that does not answer; *number* is the error's, if any."""
    what_to_do = WHAT_TO_DO
    if number in {errno.EACCES, errno.EPERM}:
        what_to_do = "add yourself to group docker (sudo usermod -aG docker $USER), log in anew"
    elif endpoint.url.startswith("ssh://"):
        what_to_do = f"see what ssh itself says: docker -H {endpoint.url} version"
    return EngineUnavailable(
        f"no container engine: {endpoint.shown} ({endpoint.origin}): {reason}; {what_to_do}"
    )
