"""The load balancer's configuration, for nginx and in k3d's own format. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.runtime import File

CONFIG_PATH = "/etc/nginx/nginx.conf"
VALUES_PATH = "/etc/confd/values.yaml"
ENGINE_RESOLVER = "127.0.0.11"
"""The engine's own name server in every container on a network that a user made."""

_USUAL = BalancerSettings()
_HEAD = """\
# Written by k3dasync; changes are lost when it writes again.
# Where the stream module is compiled in, nothing matches here.
include /etc/nginx/modules-enabled/*.conf;
# At this level nginx says `start worker processes`, which k3d waits for.
error_log stderr notice;
pid /run/nginx.pid;
worker_processes auto;
events {{
  multi_accept on;
  use epoll;
  worker_connections {connections};
}}
stream {{
"""

# proxy_connect_timeout lets the next server be tried soon.
_SERVER = """\
  server {{
{listen}    proxy_pass {target};
    proxy_timeout {timeout}s;
    proxy_connect_timeout 2s;
  }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A port that is forwarded to the same port of others.

    `hosts` are fixed addresses; those on `standby` take connections only if no other does: a
    server that is still joining accepts them before its API can answer.
    Or `name` is resolved at each connection: for networks without fixed addresses, where the
    engine's resolver knows the members' addresses after every restart, and several answers to one
    name fail over like several hosts. With `more_names` each connection goes to one of them all.
    """

    port: int
    protocol: str = "tcp"
    hosts: tuple[str, ...] = ()
    name: str = ""
    more_names: tuple[str, ...] = ()
    standby: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """What nginx calls it."""
        return f"port_{self.port}" + ("" if self.protocol == "tcp" else f"_{self.protocol}")


def config(
    forwards: Sequence[Forward], settings: BalancerSettings = _USUAL, *, ipv6: bool = False
) -> str:
    """Return a configuration which forwards these ports.

    *ipv6*: its network has IPv6 too, and the engine then hands such connections on as they are.
    """
    lines = [_HEAD.format(connections=settings.worker_connections)]
    if any(forward.name for forward in forwards):
        lines.append(f"  resolver {ENGINE_RESOLVER} valid=2s ipv6=off;\n")
    for forward in forwards:
        lines += _by_name(forward) if forward.name else _by_address(forward)
        target = f"${forward.key}" if forward.name else forward.key
        lines.append(_server(forward, target, settings, ipv6=ipv6))
    return "".join((*lines, "}\n"))


def _by_address(forward: Forward) -> Iterator[str]:
    yield f"  upstream {forward.key} {{\n"
    for host in forward.hosts:
        standby = " backup" if host in forward.standby else ""
        # max_fails=0: one probe that came before its server must not black that out for 10 s.
        yield f"    server {host}:{forward.port} max_fails=0{standby};\n"
    yield "  }\n"


def _by_name(forward: Forward) -> Iterator[str]:
    if forward.more_names:
        yield from _by_several_names(forward)
        return
    yield f"  map $server_port ${forward.key} {{ default {forward.name}:{forward.port}; }}\n"


def _by_several_names(forward: Forward) -> Iterator[str]:
    share = 100 / (1 + len(forward.more_names))
    yield f'  split_clients "$remote_addr:$remote_port" ${forward.key} {{\n'
    for name in forward.more_names:
        yield f"    {share:.2f}% {name}:{forward.port};\n"
    yield f"    * {forward.name}:{forward.port};\n  }}\n"


def _server(forward: Forward, target: str, settings: BalancerSettings, *, ipv6: bool) -> str:
    # nginx knows no sctp; k3d's load balancer takes it for tcp as well.
    kind = " udp" if forward.protocol == "udp" else ""
    addresses = ("", "[::]:") if ipv6 else ("",)
    listen = "".join(f"    listen {one}{forward.port}{kind};\n" for one in addresses)
    return _SERVER.format(listen=listen, target=target, timeout=settings.proxy_timeout)


def values(ports: Mapping[str, Sequence[str]], settings: BalancerSettings = _USUAL) -> str:
    """Return k3d's description of the same, which it reads back from the container."""
    lines = ["ports:\n"]
    for port, nodes in ports.items():
        lines.append(f"  {port}:\n")
        lines.extend(f"  - {node}\n" for node in nodes)
    lines.append(f"settings:\n  workerConnections: {settings.worker_connections}\n")
    if settings.proxy_timeout != _USUAL.proxy_timeout:
        lines.append(f"  defaultProxyTimeout: {settings.proxy_timeout}\n")
    return "".join(lines)


def read_values(content: bytes) -> dict[str, Any] | None:
    """Return k3d's description as a mapping of `ports` and `settings`, None if that is none."""
    import yaml

    try:
        found = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError:
        return None
    if not isinstance(found, dict):
        return None
    ports, settings = found.get("ports") or {}, found.get("settings") or {}
    if not isinstance(ports, dict) or not isinstance(settings, dict):
        return None
    named = {str(port): [str(node) for node in nodes or ()] for port, nodes in ports.items()}
    plain = {str(key): one if isinstance(one, int) else str(one) for key, one in settings.items()}
    return {"ports": named, "settings": plain}


def api_targets(nginx_config: bytes, port: int) -> tuple[str, ...]:
    """Return whom connections to that port go to first, by address or name; what stands by is not.

    Of a configuration as it is written here; nothing for any other.
    """
    text = nginx_config.decode(errors="replace")
    servers = re.findall(rf"^ +server (\S+):{port} max_fails=0;$", text, re.MULTILINE)
    names = re.findall(rf"\{{ default (\S+):{port}; \}}$", text, re.MULTILINE)
    return (*servers, *names)


def files(nginx_config: str, values_yaml: str) -> tuple[File, ...]:
    """Return both files as they stand in the container."""
    return (
        File(path=CONFIG_PATH, content=nginx_config.encode()),
        File(path=VALUES_PATH, content=values_yaml.encode(), mode=0o744),
    )
