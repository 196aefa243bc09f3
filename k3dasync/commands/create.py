"""`create`, also as `cluster create`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import DEFAULT_FLAGS, CreateFlags, EventsFlag, RuntimeFlag
from k3dasync.invalid import ConflictingFlags

if TYPE_CHECKING:
    from k3dasync.events import Outputs
    from k3dasync.spec import ClusterSpec


def create(
    name: str | None = None,
    /,
    *,
    flags: CreateFlags = DEFAULT_FLAGS,
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Print all that would be made, without touching an engine."),
    ] = False,
    output: Annotated[
        str, Parameter(name=["--output", "-o"], help="yaml or json, with --dry-run.")
    ] = "",
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Create a cluster: k3s servers and agents in containers, behind a load balancer."""
    spec = flags.asked(name)
    if dry_run and events is not None:
        raise ConflictingFlags("--dry-run makes nothing that --events could tell of")
    if dry_run:
        _show(spec, output or "yaml")
        return
    if output:
        raise ConflictingFlags("--output is for --dry-run; a create tells machines by --events")
    _create(spec, events=events, runtime=runtime)


def _show(spec: "ClusterSpec", output: str) -> None:
    import anyio

    from k3dasync.commands._tables import form_of
    from k3dasync.config.writing import yaml_of
    from k3dasync.operations.preview import preview
    from k3dasync.streams import show

    how = form_of(output, "yaml", "json")
    document = anyio.run(preview, spec)
    if how == "json":
        import json

        show(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        show(yaml_of(document).removesuffix("\n"))


def _create(spec: "ClusterSpec", *, events: str | None, runtime: str) -> None:
    from anyio import current_time

    from k3dasync.commands._run import Session, run
    from k3dasync.operations import create as operation
    from k3dasync.verbosity import inform

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
