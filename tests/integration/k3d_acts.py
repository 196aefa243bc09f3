"""What k3d v5.9 does to clusters: stop, start, delete, by plain calls to the engine.

From its documented behaviour; nothing here is taken from our own code. Its scripts are written anew
to do the same in the same order.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

import yaml

from tests.integration import k3d_makes
from tests.integration.docker_api import DockerApi
from tests.integration.k3d_reads import Cluster, Node, as_k3d_reads, untarred

COREDNS = "/var/lib/rancher/k3s/server/manifests/coredns.yaml"
ENTRYPOINT = """\
#!/bin/sh
set -o errexit
set -o nounset
log="/var/log/k3d-entrypoints_$(date +%y%m%d%H%M%S).log"
for script in /bin/k3d-entrypoint-*.sh; do
  "$script" >>"$log" 2>&1 || exit 1
done
/bin/k3s "$@" &
pid=$!
if [ "$1" = server ]; then
  until kubectl uncordon "$HOSTNAME"; do sleep 3; done
fi
leave() {
  if [ "$1" = server ]; then
    kubectl drain "$HOSTNAME" --force --delete-emptydir-data --ignore-daemonsets --disable-eviction
  fi
  kill -TERM "$pid"
  wait "$pid"
}
trap 'leave "$1"' TERM INT QUIT HUP
wait "$pid"
"""
DNS = """\
#!/bin/sh
set -o errexit
set -o nounset
gateway=GATEWAY
iptables-save | sed \\
  -e "s/-d 127.0.0.11/-d $gateway/g" \\
  -e 's/-A OUTPUT \\(.*\\) -j DOCKER_OUTPUT/\\0\\n-A PREROUTING \\1 -j DOCKER_OUTPUT/' \\
  -e "s/--to-source :53/--to-source $gateway:53/g" | iptables-restore
cp /etc/resolv.conf /etc/resolv.conf.original
sed -e "s/127.0.0.11/$gateway/g" /etc/resolv.conf.original >/etc/resolv.conf
"""
MOUNTS = "#!/bin/sh\nset -o errexit\nmount --make-rshared /\n"
CGROUPS = """\
#!/bin/sh
set -o errexit
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p /sys/fs/cgroup/init
  if command -v xargs >/dev/null; then
    xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs || :
  else
    busybox xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs || :
  fi
  sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers \\
    >/sys/fs/cgroup/cgroup.subtree_control
fi
"""
ROLE_LINES = {"server": "k3s is up and running", "agent": "Successfully registered node"}
INIT_LINES = {"create": "Containerd is now running", "start": "Running kube-apiserver"}
BALANCER_LINE = "start worker processes"
PATIENCE = 60.0
"""Seconds for a line; k3d waits for ever if no timeout is given. Fast nodes say theirs in 10 s."""


def stop(api: DockerApi, name: str) -> None:
    """Stop a cluster: one node after the other, in the engine's order."""
    for node in as_k3d_reads(api, name).nodes:
        api.post(f"containers/{node.name}/stop")


def delete(api: DockerApi, name: str) -> None:
    """Delete a cluster: nodes one by one, the network unless it is external, its volumes."""
    cluster = as_k3d_reads(api, name)
    for node in cluster.nodes:
        api.delete(f"containers/{node.name}", force=1, v=1)
    if not cluster.is_network_external:
        api.delete(f"networks/{cluster.network}")
    for volume in cluster.volumes:
        api.delete(f"volumes/{volume}")


def start(api: DockerApi, name: str, *, intent: str = "start") -> None:
    """Start what does not run of a cluster: init server, servers, agents, the rest."""
    cluster = as_k3d_reads(api, name)
    if intent == "start":
        _look_around(api, cluster)
    network = api.get(f"networks/{cluster.network}")
    gateway = str(network["IPAM"]["Config"][0]["Gateway"])
    stopped = [node for node in cluster.nodes if not node.is_running]
    init = [node for node in stopped if node is cluster.init]
    servers = sorted(
        (node for node in stopped if node.role == "server" and node not in init),
        key=lambda node: node.name,
    )
    agents = [node for node in stopped if node.role == "agent"]
    for node in init:
        _start_k3s(api, node, gateway, INIT_LINES[intent])
    for node in servers:
        _start_k3s(api, node, gateway, ROLE_LINES["server"])
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: _start_k3s(api, node, gateway, ROLE_LINES["agent"]), agents))
    for node in stopped:
        if node.role == "loadbalancer":
            api.post(f"containers/{node.name}/start")
            await_line(api, node.name, BALANCER_LINE)
        elif node.role not in ("server", "agent"):
            api.post(f"containers/{node.name}/start")
    if servers or agents:
        _tell_hosts(api, cluster, gateway, servers, agents)


def _look_around(api: DockerApi, cluster: Cluster) -> None:
    """Make the tools container and remove it; on Linux it does nothing in between."""
    if not cluster.image_volume:
        raise LookupError("no image volume")
    node = next(node for node in cluster.nodes if node.role == "server")
    body = {
        "Image": node.image,
        "Entrypoint": ["sleep", "1000"],
        "Labels": {
            "app": "k3d",
            "k3d.version": k3d_makes.VERSION,
            "k3d.role": "noRole",
            "k3d.cluster": cluster.name,
        },
        "HostConfig": {
            "NetworkMode": "bridge",
            "Init": True,
            "Binds": [f"{cluster.image_volume}:/k3d/images"],
            "ExtraHosts": ["host.k3d.internal:host-gateway"],
        },
        "NetworkingConfig": {"EndpointsConfig": {cluster.network: {}}},
    }
    name = f"k3d-{cluster.name}-tools"
    api.post("containers/create", body, name=name)
    api.post(f"containers/{name}/start")
    api.delete(f"containers/{name}", force=1, v=1)


def _start_k3s(api: DockerApi, node: Node, gateway: str, line: str) -> None:
    """Put the entrypoint in, start the node, and wait for what it says."""
    scripts = {"": ENTRYPOINT, "-dns": DNS.replace("GATEWAY", gateway), "-mounts": MOUNTS}
    if api.get("info").get("CgroupVersion") == "2":
        scripts["-cgroupv2"] = CGROUPS
    for suffix, text in scripts.items():
        api.write(node.name, f"/bin/k3d-entrypoint{suffix}.sh", text.encode(), 0o744)
    api.post(f"containers/{node.name}/start")
    await_line(api, node.name, line)


def await_line(api: DockerApi, name: str, line: str) -> None:
    """Wait for a line in the log since the container's last start."""
    started = api.get(f"containers/{name}/json")["State"]["StartedAt"]
    since = int(datetime.fromisoformat(started).timestamp())
    wanted = line.lower().encode()
    last, end = b"", time.monotonic() + PATIENCE
    for last in api.log(name, since=since):
        if wanted in last.lower():
            return
        if time.monotonic() > end:
            break
    raise LookupError(f"{name} stopped returning log lines before {line!r}, the last: {last!r}")


def _tell_hosts(
    api: DockerApi, cluster: Cluster, gateway: str, servers: Sequence[Node], agents: Sequence[Node]
) -> None:
    """Tell nodes in `/etc/hosts`, and pods in CoreDNS's manifest, of names outside."""
    labels = [node.labels.get("k3d.cluster.start.hostaliases", "[]") for node in cluster.nodes]
    entries = {one["ip"]: list(one["hostnames"]) for one in json.loads(labels[0])}
    entries.setdefault(gateway, []).append("host.k3d.internal")
    for node in (*servers, *agents):
        _merge_hosts(api, node.name, entries)
    if servers:
        await_line(api, servers[0].name, "Cluster dns configmap")
        _rewrite_coredns(api, cluster, servers[0].name, entries)


def _merge_hosts(api: DockerApi, node: str, entries: dict[str, list[str]]) -> None:
    lines = untarred(api.read_tar(node, "/etc/hosts")).decode().splitlines()
    found: dict[str, set[str]] = {}
    moved = {name for names in entries.values() for name in names}
    for line in lines:
        address, *names = line.split("#")[0].split() or [""]
        if address:
            found.setdefault(address, set()).update({*names} - moved)
    for address, names in entries.items():
        found.setdefault(address, set()).update(names)
    lines = [f"{address} {' '.join(sorted(names))}\n" for address, names in found.items() if names]
    text = "".join(sorted(lines))
    api.write(node, "/tmp/k3d-hosts", text.encode())
    api.run_inside(node, "sh", "-c", "cat /tmp/k3d-hosts > /etc/hosts")


def _rewrite_coredns(
    api: DockerApi, cluster: Cluster, server: str, entries: dict[str, list[str]]
) -> None:
    members = api.get(f"networks/{cluster.network}")["Containers"].values()
    lines = [f"{address} {name}" for address, names in entries.items() for name in names]
    lines += [f"{one['IPv4Address'].partition('/')[0]} {one['Name']}" for one in members]
    documents = list(yaml.safe_load_all(untarred(api.read_tar(server, COREDNS))))
    for document in documents:
        if document["kind"] == "ConfigMap":
            document["data"]["NodeHosts"] = "".join(f"{line}\n" for line in lines)
    text = "---\n".join(yaml.safe_dump(document, sort_keys=True) for document in documents)
    api.write(server, COREDNS, text.encode(), 0o744)


def nodes_of(api: DockerApi, name: str) -> dict[str, dict[str, Any]]:
    """Return the Node objects of a cluster, asked for on its first server."""
    said = api.run_inside(f"k3d-{name}-server-0", "kubectl", "get", "nodes", "-o", "json")
    return {one["metadata"]["name"]: one for one in json.loads(said)["items"]}


def heartbeats(nodes: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the name of each Node that is Ready and takes workloads, and when it last said so."""
    for name, node in nodes.items():
        ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
        if ready["status"] == "True" and not node["spec"].get("unschedulable"):
            yield name, ready["lastHeartbeatTime"]


def addresses(cluster: Cluster) -> dict[str, IPv4Address]:
    """Return the nodes' addresses."""
    return {node.name: IPv4Address(node.address) for node in cluster.nodes}
