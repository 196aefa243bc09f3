"""Registries as they are on an engine: found by name, and who is in which network."""

from collections.abc import Sequence
from functools import partial

from k3dasync.cluster import APP, LABEL_ROLE, Registry, Role
from k3dasync.errors import NotFound
from k3dasync.gather import gather
from k3dasync.grammar.names import called, spellings
from k3dasync.life_errors import RegistryNotFound
from k3dasync.operations._registries import registry_of
from k3dasync.operations._registry_removal import registries_of
from k3dasync.runtime import ContainerDetail, ContainerState, EngineFacts, EngineReader


async def find_registries(
    names: Sequence[str] | None, runtime: EngineReader
) -> tuple[ContainerState, ...]:
    """Return the registries with these names, `k3d-` may be left out; None: all there are.

    Raises RegistryNotFound if one is not there, or is no registry.
    """
    containers = {one.name: one for one in await runtime.containers(APP)}
    found = {one.name: one for one in registries_of(list(containers.values()))}
    if names is None:
        return tuple(found[name] for name in sorted(found))
    chosen: dict[str, ContainerState] = {}
    for name in names:
        one = called(found, name)
        if one is None:
            other = called(containers, name)
            role = other.labels.get(LABEL_ROLE, "") if other else ""
            raise RegistryNotFound(name, f"{other.name} is a {role}" if other and role else "")
        chosen[one.name] = one
    return tuple(chosen.values())


async def present_registries(
    names: Sequence[str] | None, runtime: EngineReader
) -> tuple[tuple[ContainerState, ...], tuple[str, ...]]:
    """Return the registries with these names, and the names of which there is no container.

    Raises RegistryNotFound if a name is that of something else.
    """
    there = {one.name for one in await runtime.containers(APP)}
    known = (
        None if names is None else [name for name in names if there.intersection(spellings(name))]
    )
    absent = () if names is None else tuple(name for name in names if name not in (known or ()))
    return await find_registries(known, runtime), absent


async def as_registries(
    found: Sequence[ContainerState], runtime: EngineReader, facts: EngineFacts
) -> tuple[Registry, ...]:
    """Return what these containers say of themselves.

    Raises RegistryUnusable if one publishes no port, or several; RegistryNotFound if it has gone.
    """

    async def inspect(name: str) -> ContainerDetail:
        try:
            return await runtime.inspect_container(name)
        except NotFound:
            raise RegistryNotFound(name) from None

    details = await gather([partial(inspect, one.name) for one in found])
    return tuple(registry_of(one, facts) for one in details)


def is_registry(state: ContainerState) -> bool:
    """Say whether a container is a registry of k3d's or ours."""
    return state.labels.get(LABEL_ROLE) == Role.REGISTRY
