"""What an engine says of itself, under k3d's names."""

from k3dasync.runtime import EngineFacts, Runtime


async def engine_info(runtime: Runtime) -> dict[str, str]:
    """Return what k3d's `runtime-info` prints; `UNKNOWN` for what the engine does not tell."""
    return shown(await runtime.facts())


def shown(facts: EngineFacts) -> dict[str, str]:
    """Return k3d's keys; `infoname` is the name of the engine's host."""
    found = {
        "arch": facts.architecture,
        "cgroupdriver": facts.cgroup_driver,
        "cgroupversion": facts.cgroup_version,
        "endpoint": facts.endpoint,
        "filesystem": facts.filesystem,
        "infoname": facts.name,
        "name": "docker",
        "os": facts.system,
        "ostype": facts.system_type,
        "version": facts.version,
    }
    return {key: value or "UNKNOWN" for key, value in found.items()}
