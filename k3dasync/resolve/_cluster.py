"""A cluster's nodes with all that is in their create calls, and the load balancer's files."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from k3dasync import entrypoint, nginx
from k3dasync.addresses import HOST_NETWORK
from k3dasync.cluster import (
    API_PORT,
    IMAGE_VOLUME_PATH,
    KUBECONFIG_ENV,
    LABEL_API_HOST,
    LABEL_API_IP,
    LABEL_API_PORT,
    LABEL_HOST_ALIASES,
    LABEL_IMAGE_VOLUME,
    LABEL_IMAGE_VOLUME_EXTERNAL,
    LABEL_INIT,
    LABEL_NETWORK,
    LABEL_NETWORK_EXTERNAL,
    LABEL_NETWORK_RANGE,
    LABEL_ROLE,
    LABEL_STATIC_IP,
    LABEL_TOKEN,
    ApiChoice,
    Cluster,
    NetworkChoice,
    Node,
    RegistryChoice,
    Role,
    UsedRegistry,
    agent_name,
    image_volume_name,
    loadbalancer_name,
    members,
    server_name,
)
from k3dasync.fixes import Fixes
from k3dasync.grammar.filters import Members
from k3dasync.resolve import _arguments, _datastore, _scripts
from k3dasync.resolve._assign import Assignment, Extras, assign, overridden
from k3dasync.resolve._balancer import Balancer, port_alias, servers_alias
from k3dasync.resolve._own import base_labels, own_labels, own_network, own_volumes
from k3dasync.resolve._registries import Registries, registries_of
from k3dasync.runtime import ContainerSpec, File, PortBinding
from k3dasync.spec import ClusterSpec

_EVERY_FIX = Fixes()
_NO_FILES: Mapping[str, bytes] = {}
_NO_RANGE = "invalid Prefix"
"""What k3d writes for a network without a range: Go's word for an empty one."""


def resolve(
    spec: ClusterSpec,
    *,
    run: str,
    token: str,
    network: NetworkChoice,
    api: ApiChoice,
    loadbalancer_image: str,
    host_alias: str,
    present_volumes: Collection[str] = (),
    fixes: Fixes = _EVERY_FIX,
    datastore_files: Mapping[str, bytes] = _NO_FILES,
    registry: RegistryChoice | None = None,
    used: Sequence[UsedRegistry] = (),
    expires: str = "",
) -> Cluster:
    """Decide everything about a cluster.

    *host_alias* is what `host.k3d.internal` stands for: an address, or `host-gateway` where only
    the engine knows; empty leaves the name out. Named volumes that are asked for, begin with
    `k3d-` and are not among *present_volumes* are made, and go with the cluster, as with k3d.
    *datastore_files* are the contents of the client's files that the datastore names, by path;
    *expires* is when its time is over, RFC 3339, if that is limited.

    Raises InvalidFilter for a node that will not be there, SpecError for what could not work.
    """
    base = base_labels(spec.name, expires)
    nodes = members(spec)
    assignment = assign(spec, nodes)
    registries = registries_of(spec, nodes.all, network, registry, used)
    planner = _Planner(
        spec,
        nodes,
        run,
        token,
        network,
        api,
        base,
        host_alias,
        assignment,
        fixes,
        () if spec.datastore is None else _datastore.files(spec.datastore, datastore_files),
        registries,
    )
    return Cluster(
        run=run,
        name=spec.name,
        wait=spec.wait,
        join=spec.join,
        network=None if network.is_external else own_network(spec, run, network),
        network_name=network.name,
        volumes=tuple(own_volumes(spec, {**base, **own_labels(run)}, present_volumes)),
        nodes=(
            *planner.nodes(loadbalancer_image),
            *registries.node({**base, **own_labels(run)}),
        ),
        api=api,
        token=token,
        has_fixed_addresses=bool(network.addresses),
        has_ipv6=network.has_ipv6,
        has_external_datastore=spec.datastore is not None,
        may_have_known_nodes=spec.datastore is not None,
        secrets=tuple(_secrets(spec, token)),
        proxied=assignment.proxied,
        balancer=spec.balancer,
        made_registry=registry.registry if registry else None,
        connections=registries.connections(),
        warnings=tuple(_warnings(registries, assignment.extras)),
    )


def _warnings(registries: Registries, extras: Mapping[str, Extras]) -> Iterator[str]:
    yield from registries.warnings(one.binds for one in extras.values())
    yield from overridden(extras)


def _secrets(spec: ClusterSpec, token: str) -> Iterator[str]:
    yield token
    if spec.datastore is not None:
        yield from _datastore.secrets(spec.datastore)
    if (
        spec.registry is not None
        and spec.registry.proxy is not None
        and spec.registry.proxy.password
    ):
        yield spec.registry.proxy.password


@dataclass(frozen=True, slots=True)
class _Planner:
    """The facts that every node of one cluster shares."""

    spec: ClusterSpec
    members: Members
    run: str
    token: str
    network: NetworkChoice
    api: ApiChoice
    base: Mapping[str, str]
    host_alias: str
    assignment: Assignment
    fixes: Fixes
    datastore_files: tuple[File, ...]
    registries: Registries

    @property
    def extras(self) -> Mapping[str, Extras]:
        return self.assignment.extras

    def nodes(self, loadbalancer_image: str) -> tuple[Node, ...]:
        addresses = dict(zip(self.members.all, self.network.addresses, strict=False))
        found = [self._server(index, addresses) for index in range(self.spec.servers)]
        found += [self._agent(index, addresses) for index in range(self.spec.agents)]
        if self.spec.loadbalancer:
            found.append(self._loadbalancer(loadbalancer_image, addresses))
        return tuple(found)

    @property
    def _first(self) -> str:
        return server_name(self.spec.name, 0)

    @property
    def _is_on_host(self) -> bool:
        return self.network.name == HOST_NETWORK

    @property
    def _url(self) -> str:
        """Return where nodes join: the port is not published but k3s's own."""
        return f"https://{self._first}:{self.api.port if self._is_on_host else API_PORT}"

    def _aliases(self, name: str) -> tuple[str, ...]:
        """Return common names of nodes, for networks on which their addresses are not known."""
        if self.network.addresses:
            return ()
        found = [servers_alias(self.spec.name)] if name in self.members.servers else []
        found += [
            port_alias(self.spec.name, port)
            for port in self.assignment.proxied
            if name in port.nodes
        ]
        return tuple(found)

    @property
    def _binding(self) -> tuple[PortBinding, ...]:
        # Without a protocol, as k3d writes it: it reads this key back.
        port = PortBinding(port="6443", host_ip=self.api.host_ip, host_port=self.api.port)
        return (port,)

    def _labels(self, role: Role, name: str) -> dict[str, str]:
        """Return the user's labels, k3d's on top, then ours; k3d reads most of its back."""
        aliases = [
            {"ip": alias.address, "hostnames": list(alias.names)}
            for alias in self.spec.host_aliases
        ]
        return {
            **self.extras[name].labels,
            **self.base,
            LABEL_ROLE: role,
            **({LABEL_HOST_ALIASES: json.dumps(aliases, separators=(",", ":"))} if aliases else {}),
            "k3d.cluster.url": self._url,
            LABEL_TOKEN: self.token,
            **self._volume_labels(),
            LABEL_NETWORK: self.network.name,
            LABEL_NETWORK_RANGE: self.network.subnet or _NO_RANGE,
            LABEL_NETWORK_EXTERNAL: "true" if self.network.is_external else "false",
            "k3d.server.loadbalancer": (
                loadbalancer_name(self.spec.name) if self.spec.loadbalancer else ""
            ),
            **own_labels(self.run),
        }

    def _server(self, index: int, addresses: Mapping[str, str]) -> Node:
        name, is_init = server_name(self.spec.name, index), index == 0
        several, store = self.spec.servers > 1, self.spec.datastore
        arguments = self.extras[name].arguments
        _arguments.refuse(self.spec, arguments)
        labels = self._labels(Role.SERVER, name) | {
            LABEL_API_HOST: self.api.host,
            LABEL_API_IP: self.api.host_ip,
            LABEL_API_PORT: str(self.api.port),
        }
        if several:
            # With a datastore outside there is none: k3d insists on --cluster-init in its command.
            labels[LABEL_INIT] = "true" if is_init and store is None else "false"
        if address := addresses.get(name):
            labels[LABEL_STATIC_IP] = address
        command = ["server", *arguments]
        starts_etcd = several and is_init and store is None
        if starts_etcd and not _arguments.has_option(arguments, _arguments.CLUSTER_INIT):
            command.append(_arguments.CLUSTER_INIT)
        if self._is_on_host and self.api.port != API_PORT:
            command += ["--https-listen-port", str(self.api.port)]
        command += self._node_labels(name)
        command += ["--tls-san", self.api.host]
        if self.spec.loadbalancer:
            command += ["--tls-san", loadbalancer_name(self.spec.name)]
        is_published = is_init and not self.spec.loadbalancer and not self._is_on_host
        container = self._k3s_container(
            name,
            command=command,
            url=None if is_init or store is not None else self._url,
            labels=labels,
            address=addresses.get(name),
            aliases=self._aliases(name),
            ports=self._binding if is_published else (),
        )
        return Node(name=name, role=Role.SERVER, is_init=is_init, container=container)

    def _agent(self, index: int, addresses: Mapping[str, str]) -> Node:
        name = agent_name(self.spec.name, index)
        container = self._k3s_container(
            name,
            command=["agent", *self.extras[name].arguments, *self._node_labels(name)],
            url=self._url,
            labels=self._labels(Role.AGENT, name),
            address=addresses.get(name),
            aliases=self._aliases(name),
        )
        return Node(name=name, role=Role.AGENT, is_init=False, container=container)

    def _node_labels(self, name: str) -> list[str]:
        return [word for label in self.extras[name].node_labels for word in ("--node-label", label)]

    @property
    def _extra_hosts(self) -> tuple[str, ...]:
        found = [f"{name}:{one.address}" for one in self.spec.host_aliases for name in one.names]
        # A user's own entry wins: two addresses of one name would be a choice by chance.
        names = {name for one in self.spec.host_aliases for name in one.names}
        if self.host_alias and entrypoint.HOST_ALIAS not in names:
            found.append(f"{entrypoint.HOST_ALIAS}:{self.host_alias}")
        return tuple(found)

    def _k3s_container(
        self,
        name: str,
        *,
        command: list[str],
        url: str | None,
        labels: Mapping[str, str],
        address: str | None,
        aliases: tuple[str, ...] = (),
        ports: tuple[PortBinding, ...] = (),
    ) -> ContainerSpec:
        env = [*self.extras[name].env, f"K3S_TOKEN={self.token}"]
        if url:
            env.append(f"K3S_URL={url}")
        is_server = command[0] == "server"
        if is_server and self.spec.datastore is not None:
            env += _datastore.environment(self.spec.datastore)
        memory = self.spec.servers_memory if is_server else self.spec.agents_memory
        scripts = self._scripts(name, is_server=is_server, memory=memory)
        return ContainerSpec(
            name=name,
            image=self.spec.image,
            network=self.network.name,
            address=address,
            aliases=aliases,
            entrypoint=(entrypoint.PATH,) if scripts else None,
            command=tuple(command),
            env=(*env, KUBECONFIG_ENV),
            labels=labels,
            binds=self._binds(name),
            ports=(*ports, *self.extras[name].ports),
            extra_hosts=self._extra_hosts,
            ulimits=self.spec.ulimits,
            host_pid_mode=self.spec.host_pid_mode,
            memory=memory,
            gpus=self.spec.gpus,
            init=self.fixes.init,
            files=(
                *scripts,
                *self._datastore_files(name, is_server=is_server),
                *self.registries.files(
                    self.extras[name].binds, is_server=is_server, is_init=name == self._first
                ),
                *self.extras[name].files,
            ),
        )

    def _datastore_files(self, name: str, *, is_server: bool) -> tuple[File, ...]:
        if self.spec.datastore is None:
            return ()
        password = _datastore.node_password(self.token, name)
        return (password, *(self.datastore_files if is_server else ()))

    def _scripts(self, name: str, *, is_server: bool, memory: int) -> tuple[File, ...]:
        return _scripts.files(
            self.spec,
            self.extras[name].binds,
            is_server=is_server,
            gateway=self.network.gateway,
            memory=memory,
            fixes=self.fixes,
        )

    def _loadbalancer(self, image: str, addresses: Mapping[str, str]) -> Node:
        name = loadbalancer_name(self.spec.name)
        container = ContainerSpec(
            name=name,
            image=image,
            network=self.network.name,
            address=addresses.get(name),
            # k3d's own image takes no further arguments either: those for it are let go.
            env=(*self.extras[name].env, KUBECONFIG_ENV),
            labels=self._labels(Role.LOADBALANCER, name),
            binds=self._binds(name),
            ports=(*self._binding, *self.extras[name].ports),
            ulimits=self.spec.ulimits,
            init=self.fixes.init,
            files=(*self._balancer_files(addresses), *self.extras[name].files),
        )
        return Node(name=name, role=Role.LOADBALANCER, is_init=False, container=container)

    def _binds(self, name: str) -> tuple[str, ...]:
        images = image_volume_name(self.spec)
        shared = [f"{images}:{IMAGE_VOLUME_PATH}"] if images else []
        return (*shared, *self.extras[name].binds)

    def _volume_labels(self) -> dict[str, str]:
        name = image_volume_name(self.spec)
        if name is None:
            return {}
        is_external = self.spec.external_image_volume is not None
        return {
            LABEL_IMAGE_VOLUME: name,
            **({LABEL_IMAGE_VOLUME_EXTERNAL: "true"} if is_external else {}),
        }

    def _balancer_files(self, addresses: Mapping[str, str]) -> tuple[File, ...]:
        servers = self.members.servers
        balancer = Balancer(
            cluster=self.spec.name,
            servers=servers,
            addresses=addresses,
            proxied=self.assignment.proxied,
            settings=self.spec.balancer,
            ipv6=self.network.has_ipv6,
        )
        # One that does not run yet would hold a probe for nginx's whole connect timeout.
        api = nginx.Forward(port=API_PORT, hosts=(addresses.get(servers[0], ""),))
        if not addresses:
            api = nginx.Forward(port=API_PORT, name=servers[0])
        return balancer.files(api)
