"""Examining an engine and its host: whether the cluster that is asked for would come up there."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from k3dasync import addresses, doctor
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_ROLE, Cluster, Role, network_name, node_names
from k3dasync.doctor.findings import Finding
from k3dasync.doctor.seen import Asked, Seen, Subnets
from k3dasync.errors import PortTaken
from k3dasync.gather import gather
from k3dasync.host import HostView
from k3dasync.images import loadbalancer_image, registry_image
from k3dasync.operations._choose import Refused, chosen_ports
from k3dasync.operations._decide import Neighbours, decide
from k3dasync.operations._leftovers import leftovers
from k3dasync.operations._look import look_here, look_inside, running_nodes
from k3dasync.operations._observe import World, observe
from k3dasync.operations._ports import ports_in_use
from k3dasync.runtime import ContainerState, EngineFacts, Runtime
from k3dasync.spec import ClusterSpec, check


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found; `looked` says from where the host was looked at, empty if it was not."""

    facts: EngineFacts
    asked: Asked
    looked: str
    findings: tuple[Finding, ...]


async def examine(spec: ClusterSpec, *, backend: Backend) -> Examination:
    """Make every check for a cluster as it is asked for; touches nothing.

    Raises SpecError if that could not be built anywhere.
    """
    spec = check(spec)
    before = time.time()
    facts = await backend.runtime.facts()
    skew = _skew(facts.time, before, time.time())
    world = await observe(backend.runtime, facts)
    view = replace(seen_of(spec, world), skew=skew, subnets=_subnets(spec, world))
    looked, view = await _with_host(view, world.containers, backend)
    view = replace(
        view,
        images=await _images(spec, backend.runtime),
        taken_ports=await _taken_ports(spec, world, backend),
        leftovers=leftovers(world),
    )
    return Examination(facts=facts, asked=view.asked, looked=looked, findings=doctor.examine(view))


async def warnings_of_host(spec: ClusterSpec, world: World, backend: Backend) -> tuple[str, ...]:
    """Return what a create should say of the engine's host, a sentence each.

    A few milliseconds: only what can be read from here. Nothing for a rehearsal.
    """
    if backend.is_rehearsal:
        return ()
    host = await look_here(backend, world.facts)
    view = replace(seen_of(spec, world), host=host)
    found = doctor.examine(view, doctor.CHEAP)
    return tuple(one.sentence for one in found if one.is_bad)


def seen_of(spec: ClusterSpec, world: World) -> Seen:
    """Return what the look at the engine, which every create takes, says already."""
    running = [one.labels.get(LABEL_ROLE) for one in running_nodes(world.containers)]
    name = network_name(spec)
    return Seen(
        facts=world.facts,
        asked=asked_of(spec),
        running=(running.count(Role.SERVER), running.count(Role.AGENT)),
        members=sum(name in one.addresses for one in world.containers),
    )


def asked_of(spec: ClusterSpec) -> Asked:
    """Return what matters of a spec; only a tag that is a version says which k3s it is."""
    found = re.search(r":v1\.(\d+)(?:\.|$)", spec.image)
    # What tells its kubelet to run on cgroup v1 has been told the cure.
    is_told = any("fail-cgroupv1=false" in one.value for one in spec.k3s_args)
    return Asked(
        servers=spec.servers,
        agents=spec.agents,
        others=len(node_names(spec)) - spec.servers - spec.agents,
        k3s_minor=int(found[1]) if found and not is_told else None,
        memory_limit=max(spec.servers_memory, spec.agents_memory),
    )


def _skew(theirs: float, before: float, after: float) -> float | None:
    """Return how far a clock is ahead that was read at some time between *before* and *after*."""
    if not theirs:
        return None
    return min(0.0, theirs - before) + max(0.0, theirs - after)


def _subnets(spec: ClusterSpec, world: World) -> Subnets | None:
    if spec.network is not None or spec.subnet is not None:
        return None
    free, total, pool = addresses.free_subnets(len(node_names(spec)), world.subnets)
    return Subnets(free=free, total=total, pool=pool)


async def _with_host(
    view: Seen, containers: Sequence[ContainerState], backend: Backend
) -> tuple[str, Seen]:
    """Look at the host from here; from a node what is not seen from here."""
    here = await look_here(backend, view.facts, kernel=True)
    inside = await look_inside(backend.runtime, containers)
    if here is None and inside is None:
        return "", view
    if here is None and inside is not None:
        return f"inside {inside[0]}", replace(view, host=inside[1], is_inside=True)
    assert here is not None
    more = inside[1] if inside else HostView()
    joined = HostView({**more.files, **here.files}, here.disks or more.disks)
    return "this machine", replace(view, host=joined)


async def _images(spec: ClusterSpec, runtime: Runtime) -> dict[str, bool]:
    names = list(dict.fromkeys(_image_names(spec)))
    there = await gather([partial(runtime.has_image, name) for name in names])
    return dict(zip(names, there, strict=True))


def _image_names(spec: ClusterSpec) -> Iterator[str]:
    yield spec.image
    if spec.loadbalancer:
        yield loadbalancer_image()
    if spec.registry is not None:
        yield spec.registry.image or registry_image()


async def _taken_ports(spec: ClusterSpec, world: World, backend: Backend) -> tuple[str, ...]:
    """Return the host ports that were asked for and that somebody has."""
    try:
        cluster = await _decided(spec, world)
    except PortTaken as error:  # of one on the host's network, where nobody else claims it
        return (str(error),)
    taken = await ports_in_use(
        cluster,
        world,
        backend.runtime,
        chosen=frozenset(chosen_ports(spec, cluster)),
        probes=world.facts.is_local and not backend.is_rehearsal,
    )
    return tuple(f"{one.host_port} ({words})" for one, words in taken)


async def _decided(spec: ClusterSpec, world: World) -> Cluster:
    """Return the cluster on an engine without networks: only its ports are asked for."""
    decision = await decide(
        msgspec.structs.replace(spec, datastore=None),  # its files are not needed
        world=replace(world, networks=(), routes=()),
        beside=Neighbours(),
        run="doctor",
        token=spec.token or "doctor",
        target=None,
        refused=Refused(),
        datastore_files={},
    )
    return decision.cluster
