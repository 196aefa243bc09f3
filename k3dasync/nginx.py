"""The load balancer's configuration, for nginx and in k3d's own format. Pure."""

from collections.abc import Mapping, Sequence

from k3dasync.runtime import File

CONFIG_PATH = "/etc/nginx/nginx.conf"
VALUES_PATH = "/etc/confd/values.yaml"
WORKER_CONNECTIONS = 1024
ENGINE_RESOLVER = "127.0.0.11"
"""The engine's own name server in every container on a network that a user made."""

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

# max_fails=0: one probe that came before its server must not black that server out for 10 s.
# proxy_timeout is k3d's; proxy_connect_timeout lets the next server be tried soon.
_SERVER = """\
  server {{
    listen {port};
    proxy_pass {target};
    proxy_timeout 600s;
    proxy_connect_timeout 2s;
  }}
"""


def config(port: int, upstreams: Sequence[str], *, balanced: bool) -> str:
    """Return a configuration which forwards *port* to fixed addresses.

    Unless *balanced*, the first one takes all connections and the rest stand by: a server that
    is still joining accepts connections before its API can answer.
    """
    lines = [_HEAD.format(connections=WORKER_CONNECTIONS), f"  upstream port_{port} {{\n"]
    for index, address in enumerate(upstreams):
        standby = "" if balanced or index == 0 else " backup"
        lines.append(f"    server {address}:{port} max_fails=0{standby};\n")
    lines += ["  }\n", _SERVER.format(port=port, target=f"port_{port}"), "}\n"]
    return "".join(lines)


def config_by_name(port: int, name: str) -> str:
    """Return a configuration which forwards *port* to whatever *name* resolves to just then.

    For networks without fixed addresses: the engine's resolver knows the members' addresses
    after every restart, and several answers to one name fail over like one upstream.
    """
    return (
        _HEAD.format(connections=WORKER_CONNECTIONS)
        + f"  resolver {ENGINE_RESOLVER} valid=2s ipv6=off;\n"
        + f"  map $server_port $port_{port} {{ default {name}:{port}; }}\n"
        + _SERVER.format(port=port, target=f"$port_{port}")
        + "}\n"
    )


def values(ports: Mapping[str, Sequence[str]]) -> str:
    """Return k3d's description of the same, which it reads back from the container."""
    lines = ["ports:\n"]
    for port, nodes in ports.items():
        lines.append(f"  {port}:\n")
        lines.extend(f"  - {node}\n" for node in nodes)
    lines.append(f"settings:\n  workerConnections: {WORKER_CONNECTIONS}\n")
    return "".join(lines)


def files(nginx_config: str, values_yaml: str) -> tuple[File, ...]:
    """Return both files as they stand in the container."""
    return (
        File(path=CONFIG_PATH, content=nginx_config.encode()),
        File(path=VALUES_PATH, content=values_yaml.encode(), mode=0o744),
    )
