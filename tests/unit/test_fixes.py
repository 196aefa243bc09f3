"""What a node's start cures, and when it needs no script of ours."""

import pytest

from k3dasync import entrypoint
from k3dasync.cluster import Cluster
from k3dasync.errors import SpecError
from k3dasync.fixes import Fixes, fixes
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.words import HostAlias
from k3dasync.spec import ClusterSpec
from tests.unit.worlds import decided

NONE = Fixes(cgroupv2=False, dns=False, mounts=False)


def chosen(cgroup: str = "2", engine: str = "box", **environ: str) -> Fixes:
    return fixes(environ, cgroup_version=cgroup, engine=engine)


@pytest.mark.parametrize(
    ("cgroup", "engine", "expected"),
    [
        ("2", "box", Fixes()),
        ("1", "box", Fixes(cgroupv2=False)),
        ("", "box", Fixes()),
        ("2", "colima", Fixes(dns=False)),
        ("2", "Colima", Fixes(dns=False)),
        ("2", "colima-two", Fixes()),
    ],
)
def test_what_is_cured_if_nothing_is_said(cgroup: str, engine: str, expected: Fixes) -> None:
    """Cgroups where the engine has version 2 or does not tell, names but on colima, mounts."""
    assert expected == chosen(cgroup, engine)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        *((text, True) for text in ("1", "t", "T", "true", "True", "TRUE")),
        *((text, False) for text in ("0", "false", "tRUE", "yes", "on", "garbage", " true")),
    ],
)
def test_switches_are_gos_booleans(said: str, expected: bool) -> None:
    """What Go takes for true, and nothing else, on every engine."""
    found = chosen("1", "colima", K3D_FIX_CGROUPV2=said, K3D_FIX_DNS=said, K3D_FIX_MOUNTS=said)

    assert Fixes(cgroupv2=expected, dns=expected, mounts=expected) == found
    assert chosen(K3D_DEBUG_DISABLE_DOCKER_INIT=said).init is not expected


def test_an_empty_switch_counts_as_not_set() -> None:
    """As scripts pass variables that may be empty."""
    assert Fixes() == chosen(K3D_FIX_DNS="", K3D_DEBUG_DISABLE_DOCKER_INIT="")


def scripts(cluster: Cluster, node: int = 0) -> list[str]:
    """Return the names of a node's scripts."""
    paths = [file.path for file in cluster.nodes[node].container.files]
    return [path.removeprefix("/bin/k3d-entrypoint") for path in paths if "entrypoint" in path]


def test_only_the_chosen_scripts_are_in_a_node() -> None:
    """The main one always, names for pods on servers."""
    cluster = decided(ClusterSpec(agents=1), fixes=Fixes(cgroupv2=False, dns=False))

    assert [".sh", "-coredns.sh", "-mounts.sh"] == scripts(cluster)
    assert [".sh", "-mounts.sh"] == scripts(cluster, 1)
    assert (entrypoint.PATH,) == cluster.nodes[1].container.entrypoint


def test_with_all_switched_off_the_images_own_entrypoint_is_used() -> None:
    """Nothing of ours is in the container."""
    cluster = decided(ClusterSpec(agents=1), fixes=NONE)

    for node in (*cluster.servers, *cluster.agents):
        assert (None, ()) == (node.container.entrypoint, node.container.files)


def test_what_only_a_script_can_do_brings_the_entrypoint_back() -> None:
    """A limit of memory on those that have it, host aliases for pods; no cure with it."""
    limited = decided(ClusterSpec(agents=1, agents_memory=2**29), fixes=NONE)
    alias = HostAlias(address="10.1.1.1", names=("far",))
    aliased = decided(ClusterSpec(host_aliases=(alias,)), fixes=NONE)

    assert [] == scripts(limited)
    assert [".sh", "-memory.sh"] == scripts(limited, 1)
    assert [".sh", "-coredns.sh"] == scripts(aliased)


def test_without_dockers_init_no_container_has_it() -> None:
    """The load balancer neither."""
    with_it = decided(ClusterSpec())
    without = decided(ClusterSpec(), fixes=Fixes(init=False))

    assert {True} == {node.container.init for node in with_it.nodes}
    assert {False} == {node.container.init for node in without.nodes}


def test_a_resolver_of_ones_own_is_refused_where_it_would_be_rewritten() -> None:
    """Before anything is made; not if that fix is off, nor on the load balancer."""
    own = Filtered("/my/resolv.conf:/etc/resolv.conf:ro", ())
    with pytest.raises(SpecError, match="K3D_FIX_DNS=false"):
        decided(ClusterSpec(volumes=(own,)))

    kept = (
        decided(ClusterSpec(volumes=(own,)), fixes=Fixes(dns=False)),
        decided(ClusterSpec(network="host", volumes=(own,))),
    )
    assert all(own.value in one.nodes[0].container.binds for one in kept)
