"""What the benchmarks on a real engine share: a place of their own, runs of our command, the bare
engine, and removing everything at the end."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from benchmarks.options import Shape, Unavailable
from k3dasync.backend import Backend
from k3dasync.cluster import Cluster, Node, Role, volume_name
from k3dasync.docker import backend as docker_backend
from k3dasync.docker import translate
from k3dasync.docker.endpoint import resolve
from k3dasync.errors import K3dAsyncError
from k3dasync.operations.create import plan
from k3dasync.spec import ClusterSpec

ROOT = Path(__file__).parents[1]
STANDIN = "k3dasync-dev/node:standin"
LOADBALANCER = "k3dasync-dev/loadbalancer:standin"
API = "v1.41"
"""The engine's dialect for the calls without us: 20.10 and everything newer speaks it."""
COMMAND_SECONDS = 90.0
"""A create or delete that takes longer hangs: the longest measured one took 40 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one run of a benchmark works: names, files and images of its own."""

    prefix: str
    folder: Path
    environ: Mapping[str, str]

    def spec(
        self, name: str, shape: Shape, image: str, *, loadbalancer: bool = True
    ) -> ClusterSpec:
        """Return the spec of a cluster that is made in this place."""
        return ClusterSpec(
            name=f"{self.prefix}-{name}",
            servers=shape.servers,
            agents=shape.agents,
            image=image,
            loadbalancer=loadbalancer,
            timeout=COMMAND_SECONDS,
        )

    def command(self, *arguments: str, limits: str = "") -> float:
        """Run our command and return the seconds it took; raises if it failed."""
        environ = {**self.environ, "K3DASYNC_LIMITS": limits}
        began = time.perf_counter()
        # In a session of its own: an interrupt at the terminal is ours, and we stop it properly.
        process = subprocess.Popen(
            [sys.executable, "-m", "k3dasync", *arguments],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, said = process.communicate(timeout=COMMAND_SECONDS)
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.communicate()
            raise
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RuntimeError(f"k3dasync {' '.join(arguments)}: {said[-2000:]}")
        return seconds

    def create(self, name: str, shape: Shape, image: str, limits: str = "") -> float:
        """Create a cluster with our command, every node Ready; return the seconds."""
        numbers = ("--servers", str(shape.servers), "--agents", str(shape.agents))
        cluster = f"{self.prefix}-{name}"
        return self.command("create", cluster, *numbers, "--image", image, limits=limits)

    def delete(self, name: str, limits: str = "") -> float:
        """Delete a cluster with our command; return the seconds."""
        return self.command("delete", f"{self.prefix}-{name}", limits=limits)


@contextmanager
def place() -> Iterator[Place]:
    """Make a place, and remove all of it at the end, however that comes.

    Raises Unavailable if there is no engine, or not the images.
    """
    prefix = f"bench-{secrets.token_hex(2)}"
    with tempfile.TemporaryDirectory(prefix="k3dasync-bench-") as name:
        folder = Path(name)
        own = {
            "DOCKER_HOST": _engine_url(),
            "HOME": name,
            "XDG_STATE_HOME": str(folder / "state"),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "K3D_IMAGE_LOADBALANCER": os.environ.get("K3D_IMAGE_LOADBALANCER", LOADBALANCER),
        }
        with _environ(own), _terminated_like_interrupted():
            try:
                yield Place(prefix=prefix, folder=folder, environ=dict(os.environ))
            finally:
                anyio.run(_remove_all, prefix)


def _engine_url() -> str:
    async def reach() -> None:
        async with docker_backend() as engine:
            for image in (STANDIN, os.environ.get("K3D_IMAGE_LOADBALANCER", LOADBALANCER)):
                if not await engine.runtime.has_image(image):
                    raise Unavailable(f"there is no image {image}; run: dev/images --standin")

    try:
        anyio.run(reach)
    except K3dAsyncError as error:
        raise Unavailable(f'{error}; start one with: export "$(dev/engine up)"') from error
    return resolve(os.environ, Path.home()).url


@contextmanager
def _environ(own: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG", "K3DASYNC_LIMITS"):
        os.environ.pop(name, None)
    os.environ.update(own)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _remove_all(prefix: str) -> None:
    async with docker_backend() as engine:
        runtime = engine.runtime
        async with anyio.create_task_group() as group:
            for container in await runtime.containers():
                if f"k3d-{prefix}-" in container.name:
                    group.start_soon(runtime.remove_container, container.name, {})
        for network in await runtime.networks():
            if f"k3d-{prefix}-" in network.name:
                await runtime.remove_network(network.name, {})
        for volume in await runtime.volumes():
            if f"k3d-{prefix}-" in volume.name:
                await runtime.remove_volume(volume.name, {})


def variant(name: str, settings: Mapping[str, str]) -> str:
    """Return the name of the stand-in's image with these settings, made if it is not there."""
    pairs = [f"{key}={value}" for key, value in settings.items()]
    done = subprocess.run(
        [ROOT / "dev" / "image-variant", name, *pairs], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable(f"dev/image-variant {name}: {done.stderr.strip()}")
    return done.stdout.strip()


async def decided(spec: ClusterSpec, engine: Backend) -> Cluster:
    """Return the cluster that a create of that spec would make now."""
    return (await plan(spec, backend=engine)).cluster


# ---- the engine without us


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """Seconds the engine needs for one cluster's containers, asked for at once, and not by us."""

    create: float
    start: float
    delete: float

    @property
    def made(self) -> float:
        """Network, volume, creates and starts."""
        return self.create + self.start


class BareEngine:
    """The engine's API over one HTTP client, without checks, retries or events."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one call and return its answer; raises if the engine refuses."""
        url = f"http://engine/{API}/{path}"
        async with self._session.request(method, url, json=body) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {text}")
            return json.loads(text) if text.strip() else None

    async def measure(self, cluster: Cluster) -> Bare:
        """Create, start and remove the containers of a cluster, all at once each time."""
        began = time.perf_counter()
        network, ids = await self.create(cluster)
        created = time.perf_counter()
        await self._at_once("POST", [f"containers/{id}/start" for id in ids])
        started = time.perf_counter()
        await anyio.sleep(1)  # what runs has begun to run
        deleting = time.perf_counter()
        await self._at_once("DELETE", [f"containers/{id}?force=1&v=1" for id in ids])
        volume = volume_name(cluster.name)
        await self._at_once("DELETE", [f"networks/{network}", f"volumes/{volume}"])
        deleted = time.perf_counter()
        return Bare(create=created - began, start=started - created, delete=deleted - deleting)

    async def create(self, cluster: Cluster) -> tuple[str, list[str]]:
        """Create network, volume and containers; return the network's id and theirs."""
        if cluster.network is None:
            raise RuntimeError("the benchmarks make their own networks")
        network = (
            await self.call("POST", "networks/create", translate.network_body(cluster.network))
        )["Id"]
        for spec in cluster.volumes:
            volume = {"Name": spec.name, "Labels": dict(spec.labels)}
            await self.call("POST", "volumes/create", volume)
        ids: dict[str, str] = {}

        async def create(node: Node) -> None:
            made = await self.call(
                "POST", f"containers/create?name={node.name}", _body(node, network)
            )
            ids[node.name] = made["Id"]

        async with anyio.create_task_group() as group:
            for node in cluster.nodes:
                group.start_soon(create, node)
        return network, [ids[node.name] for node in cluster.nodes]

    async def _at_once(self, method: str, paths: list[str]) -> None:
        async with anyio.create_task_group() as group:
            for path in paths:
                group.start_soon(self.call, method, path)


def _body(node: Node, network: str) -> dict[str, Any]:
    """Return a create call without our files: the image's own entrypoint.

    Joining servers run as agents here: they would exit while their server is not up, and the
    engine would be measured with their restarts.
    """
    spec = replace(node.container, network=network, entrypoint=None)
    if node.role is Role.SERVER and not node.is_init:
        spec = replace(spec, command=("agent",))
    return translate.container_body(spec)


@asynccontextmanager
async def bare_engine() -> AsyncIterator[BareEngine]:
    """Connect to the engine of the environment; a Unix socket or TCP without TLS."""
    url = resolve(os.environ, Path.home()).url
    if not url.startswith("unix://"):
        raise Unavailable(f"the engine at {url} is measured over a Unix socket only")
    connector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield BareEngine(session)
