"""`create`, also as `cluster create`."""

from typing import TYPE_CHECKING

from k3dasync.commands._create_flags import DEFAULT_FLAGS, CreateFlags, EventsFlag, RuntimeFlag

if TYPE_CHECKING:
    from k3dasync.events import Outputs


def create(
    name: str | None = None,
    /,
    *,
    flags: CreateFlags = DEFAULT_FLAGS,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Create a cluster: k3s servers and agents in containers, behind a load balancer."""
    from anyio import current_time

    from k3dasync.commands._run import Session, run
    from k3dasync.operations import create as operation
    from k3dasync.verbosity import inform

    spec = flags.asked(name)

    async def perform(session: Session) -> list[str]:
        began = current_time()
        outputs = await operation.create(
            spec, backend=session.backend, sinks=session.sinks, stop=session.stop
        )
        seconds = current_time() - began
        if session.backend.is_rehearsal:
            return [f"rehearsed in {seconds:.1f} s: {made(outputs.nodes)}; nothing was made"]
        summary = f"cluster {spec.name} created in {seconds:.1f} s: {made(outputs.nodes)}"
        switched = spec.kubeconfig_switch_context
        return [
            f"{summary}, {outputs.api}",
            *pushing(outputs),
            *usage(spec.name, outputs, switched=switched),
        ]

    for line in run(
        perform,
        runtime=runtime,
        events=events,
        shows_progress=True,
        to_finish=f"k3dasync rollback {spec.name}",
    ):
        inform(line)


def made(nodes: tuple[str, ...]) -> str:
    """Return how many nodes of each role there are: `3 servers, 10 agents, load balancer`."""
    servers = sum("-server-" in node for node in nodes)
    agents = sum("-agent-" in node for node in nodes)
    parts = [f"{servers} server" + "s" * (servers != 1)]
    if agents:
        parts.append(f"{agents} agent" + "s" * (agents != 1))
    if any(node.endswith("-serverlb") for node in nodes):
        parts.append("load balancer")
    if others := len(nodes) - servers - agents - any(n.endswith("-serverlb") for n in nodes):
        parts.append("registry" if others == 1 else f"{others} registries")
    return ", ".join(parts)


def pushing(outputs: "Outputs") -> list[str]:
    """Return where images are pushed to, and what they are called in the cluster, if anywhere."""
    if outputs.registry is None:
        return []
    name, port = outputs.nodes[-1], outputs.registry.rpartition(":")[2]
    return [f"push images to {outputs.registry}/…, the cluster knows them as {name}:{port}/…"]


def usage(name: str, outputs: "Outputs", *, switched: bool) -> list[str]:
    """Return how to use the cluster, line by line."""
    if outputs.kubeconfig is None:
        return [
            "use it like this:",
            f"  export KUBECONFIG=$(k3dasync kubeconfig write {name})",
            "  kubectl cluster-info",
        ]
    lines = ["use it like this:"]
    if not switched:
        lines.append(f"  kubectl config use-context {outputs.context}")
    lines.append("  kubectl get nodes")
    return lines
