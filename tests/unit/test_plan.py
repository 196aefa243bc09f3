"""The graphs of whole clusters, compared as text."""

import os
from pathlib import Path

import pytest

from k3dasync import drawing, tasks
from k3dasync.cluster import Registry, UsedRegistry
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.joins import JoinOrder
from k3dasync.grammar.registries import RegistryReference
from k3dasync.graph import TaskId
from k3dasync.kubeconfig import Target
from k3dasync.operations._decide import Decision
from k3dasync.spec import ApiPort, ClusterSpec, Datastore, RegistrySpec, WaitLevel
from tests.unit.worlds import decided

GOLDEN = Path(__file__).parent / "golden"
TARGET = Target("/home/me/.kube/config", "other", switch=True)


def spec(**fields: object) -> ClusterSpec:
    return ClusterSpec(name="dev", image="k3s:test", **fields)  # type: ignore[arg-type]


SHAPES = {
    "1+0": spec(),
    "3+2": spec(servers=3, agents=2),
    "3+10": spec(servers=3, agents=10),
    "no-lb": spec(agents=1, loadbalancer=False),
    "host-ports": spec(api_port=ApiPort("0.0.0.0", 6550), agents=1),
    "wait-none": spec(servers=2, wait=WaitLevel.NONE),
    "wait-api": spec(servers=3, agents=1, wait=WaitLevel.API),
    "datastore": spec(servers=3, agents=1, datastore=Datastore(endpoint="https://etcd:2379")),
    "on-host": spec(network="host", api_port=ApiPort(None, 6551)),
    "registries": spec(
        registry=RegistrySpec(exposure=Exposure(None, 5000)),
        registries=(RegistryReference("shared"),),
    ),
    "wait-quorum": spec(servers=3, agents=1, wait=WaitLevel.QUORUM),
    "3+2-serial": spec(servers=3, agents=2, join=JoinOrder.SERIAL),
    "wait-all": spec(servers=3, agents=1, wait=WaitLevel.ALL),
    "same-image": ClusterSpec(name="dev", image="nginx:test"),
}


def plan(shape: str) -> Decision:
    wanted = SHAPES[shape]
    shared = Registry(name="k3d-shared", port=5000, host="localhost", host_port=5001)
    used = (UsedRegistry(registry=shared, is_connected=False),) if wanted.registries else ()
    cluster = decided(wanted, host=wanted.api_port.host or "127.0.0.1", used=used)
    return Decision(cluster=cluster, graph=tasks.plan(cluster, TARGET))


@pytest.mark.parametrize("shape", SHAPES)
def test_plan_is_as_it_was(shape: str) -> None:
    """The graph of each shape is what a reviewer has once agreed to."""
    golden = GOLDEN / f"plan-{shape}.txt"
    text = drawing.text(plan(shape).plan) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)

    assert golden.read_text() == text


def test_nothing_waits_for_a_joining_server_but_the_next() -> None:
    """Agents, load balancer and kubeconfig need server-0 alone."""
    graph = plan("3+10").graph
    waits = {id for id in graph.ids if any("settle:" in need for need in graph.needs(id))}

    assert {"start:k3d-dev-server-2"} == waits


@pytest.mark.parametrize(
    ("shape", "needs"),
    [
        ("3+2", ("supervisor:k3d-dev-server-0", "settle:k3d-dev-server-1")),
        ("3+2-serial", ("api:dev", "settle:k3d-dev-server-1")),
    ],
)
def test_servers_never_join_at_the_same_instant(shape: str, needs: tuple[str, ...]) -> None:
    """Each joining server's start needs the one before to be a member, whatever the order."""
    graph = plan(shape).graph
    found = [graph.needs(TaskId(f"start:k3d-dev-server-{number}")) for number in (1, 2)]
    own = [{f"container:k3d-dev-server-{number}"} for number in (1, 2)]

    assert list(needs) == [*(found[0] - own[0]), *(found[1] - own[1])]


@pytest.mark.parametrize("how", ["json", "mermaid", "dot"])
def test_every_task_and_arrow_is_in_every_drawing(how: str) -> None:
    """The other forms say the same as the text."""
    tasks_and_arrows = plan("3+2").plan
    drawn = drawing.draw(tasks_and_arrows, how)

    assert all(task.id in drawn for task in tasks_and_arrows)
    arrows = sum(len(task.needs) for task in tasks_and_arrows)
    if how != "json":
        assert arrows == drawn.count("-->" if how == "mermaid" else " -> ")


def test_no_secret_is_in_a_plan() -> None:
    """A plan can be shown to anybody."""
    for how in ("text", "json", "mermaid", "dot"):
        assert "the-secret" not in drawing.draw(plan("3+2").plan, how)
