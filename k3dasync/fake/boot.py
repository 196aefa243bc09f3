"""What simulated servers and agents have in common: stages, log lines, their Node object."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio

from k3dasync.fake.balancer import API_PORT, Balancer
from k3dasync.fake.claims import listen
from k3dasync.fake.datastore import NOT_READY, Datastore
from k3dasync.fake.faults import NodeTrouble, Stage
from k3dasync.fake.latency import Cost
from k3dasync.fake.log import EPOCH
from k3dasync.fake.machine import Machine
from k3dasync.fake.process import KILLED, Exit
from k3dasync.fake.state import Container, Service
from k3dasync.images import K3S_VERSION

NODE_PASSWORD = "/etc/rancher/node/password"  # noqa: S105 - a path
"""Made at a node's first start, unless it is there before."""


class Boot:
    """One life of one k3s process."""

    def __init__(self, machine: Machine, container: Container) -> None:
        self.machine, self.container = machine, container
        self.name, self.latency = container.name, machine.latency.node
        self._disk_pressure = ""

    @property
    def store(self) -> Datastore | None:
        """The cluster this node belongs to, if it has joined one in this life or before."""
        data = self.container.data
        return data if isinstance(data, Datastore) else None

    @property
    def now(self) -> float:
        """The time in seconds since 1970, by the engine's clock, in whole ones."""
        return float(int(EPOCH.timestamp() + anyio.current_time()))

    @property
    def endpoint(self) -> str:
        """The datastore outside the cluster; empty if it has its own."""
        return self.container.env.get("K3S_DATASTORE_ENDPOINT", "")

    @property
    def port(self) -> int:
        """Where k3s listens."""
        return int(self.option("--https-listen-port") or API_PORT)

    def option(self, name: str) -> str:
        """Return the last value of an option of k3s's; empty if it is not given."""
        words, found = iter(self.container.spec.command or ()), ""
        for word in words:
            option, has_value, value = word.partition("=")
            if option == name:
                found = value if has_value else next(words, "")
        return found

    def listen(self) -> None:
        """Take the port; raises Exit if that is a port of the host and somebody has it."""
        if not any(one.found and one.found.is_host for one in self.container.endpoints):
            return
        if not listen(self.machine.inventory, self.container, self.port):
            raise self.die(f"listen tcp :{self.port}: bind: address already in use")

    @property
    def token(self) -> str:
        """The shared secret, without the hash of the authority that may stand before it."""
        given = self.option("--token") or self.container.env.get("K3S_TOKEN", "")
        return given.rpartition("::server:")[2]

    @property
    def target(self) -> str:
        """The host of the server to join; empty for the init server."""
        url = self.option("--server") or self.container.env.get("K3S_URL", "")
        return urlsplit(url).hostname or ""

    async def spend(self, cost: Cost) -> None:
        """Let a cost pass on the machine's cores."""
        await self.machine.cores.spend(cost)

    def say(self, message: str, level: str = "info") -> None:
        """Write a line as k3s does."""
        seconds = int(anyio.current_time())
        stamp = f"2026-01-01T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"
        quoted = message.replace("\\", "\\\\").replace('"', '\\"')
        self.container.log.append(f'time="{stamp}" level={level} msg="{quoted}"')

    def greet(self, role: str) -> None:
        """Write the first line, with which every life begins."""
        self.say(f"Starting k3s{role} {K3S_VERSION.replace('-', '+')}")

    def die(self, message: str) -> Exit:
        """Write the one line of a crash; the caller raises what is returned."""
        self.say(message, "fatal")
        return Exit(1)

    async def reach(self, stage: Stage) -> None:
        """Reach a stage, unless something on order prevents it."""
        fault = self.machine.faults.at_stage(self.name, stage)
        if fault is None:
            return
        match fault.trouble:
            case NodeTrouble.CRASH:
                raise self.die(fault.says)
            case NodeTrouble.OOM:
                raise Exit(KILLED, is_oom=True)
            case NodeTrouble.STALL:
                await anyio.sleep_forever()
            case NodeTrouble.DISK_PRESSURE:
                self._disk_pressure = fault.says

    def server(self) -> Container | None:
        """Return the server that `K3S_URL` leads to, through a load balancer too, if one runs."""
        found = self.machine.find(self.target, self.container)
        if found is not None and isinstance(found.data, Balancer):
            return found.data.choose(self.machine, found)
        return found

    def supervisor(self) -> Datastore | None:
        """Return the cluster of the server to join, if its supervisor answers."""
        server = self.server()
        if server is None or Service.SUPERVISOR not in server.serves:
            return None
        return server.data if isinstance(server.data, Datastore) else None

    def why_no_supervisor(self) -> str:
        """Return how a request for the CA certificates fails."""
        server = self.server()
        if server is not None and Service.TCP in server.serves:
            return "503 Service Unavailable"
        return f"dial tcp: connect to {self.target}: connection refused"

    async def claim_name(self, store: Datastore) -> None:
        """Wait until the cluster lets this node use its name: until its old Node is deleted."""
        made = self.container.id.encode()
        password = self.container.files.setdefault(NODE_PASSWORD, made).decode()
        while not store.accepts(self.name, password):
            self.say(
                "Node password rejected, duplicate hostname or contents of "
                "'/etc/rancher/node/password' may not match server node-password entry",
                "error",
            )
            await anyio.sleep(self.latency.agent_poll)

    async def run_kubelet(self, store: Datastore, register: Cost, ready: Cost) -> None:
        """Register the node, let it become Ready, and report for as long as the process lives."""
        with self._kubelet(store):
            await self.spend(register)
            await self.claim_name(store)
            while not store.apis:
                await self.machine.changed.wait()
            await self.reach(Stage.REGISTERED)
            self.say(f'"Successfully registered node" node="{self.name}"')
            pressure = self._disk_pressure
            store.report(
                self.name,
                is_ready=False,
                reason=NOT_READY,
                disk_pressure=pressure,
                heard=self.now,
            )
            await self.spend(ready)
            self.say(f"Node CIDR assigned for: {self.name}")
            await self.reach(Stage.READY)
            store.report(self.name, is_ready=True, disk_pressure=pressure, heard=self.now)
            await anyio.sleep_forever()

    @contextmanager
    def _kubelet(self, store: Datastore) -> Iterator[None]:
        try:
            with store.present(store.kubelets, self.name):
                yield
        finally:
            self.machine.group.start_soon(lose_later, store, self.name)


async def lose_later(store: Datastore, node: str) -> None:
    """Let the node controller notice, in its time, that a kubelet is silent."""
    await anyio.sleep(store.latency.lost_after)
    store.lose(node)
