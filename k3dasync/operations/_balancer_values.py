"""What a cluster's load balancer says of itself, in k3d's format."""

from k3dasync import nginx
from k3dasync.cluster import Role
from k3dasync.errors import EngineError
from k3dasync.operations._existing import ExistingCluster
from k3dasync.operations._recall import Json
from k3dasync.runtime import EngineReader


async def balancer_values(existing: ExistingCluster, runtime: EngineReader) -> Json | None:
    """Return what a cluster's load balancer says of itself, running or not."""
    for one in existing.of_role(Role.LOADBALANCER):
        try:
            return nginx.read_values(await runtime.read_file(one.name, nginx.VALUES_PATH))
        except EngineError:
            return None
    return None
