"""What belongs to no cluster, decided without an engine."""

from dataclasses import replace
from typing import Any

from k3dasync.operations._stray import Stock, external, strays
from k3dasync.runtime import ContainerState, NetworkState, Status, VolumeState, VolumeUsage

NOW, OLD, YOUNG = 10_000.0, 1_000.0, 9_999.0
APP = {"app": "k3d"}


def container(
    name: str, cluster: str, role: str, *networks: str, created: float = OLD, **labels: str
) -> ContainerState:
    return ContainerState(
        id=name,
        name=name,
        image="x",
        status=Status.EXITED,
        labels={**APP, "k3d.cluster": cluster, "k3d.role": role, **labels},
        created=created,
        addresses=dict.fromkeys(networks, ""),
    )


def labelled(key: str, value: str) -> dict[str, Any]:
    return {key: value}


def foreign(name: str, *networks: str) -> ContainerState:
    return replace(container(name, "", "", *networks), labels={})


def network(name: str, *, created: float = OLD, **labels: str) -> NetworkState:
    return NetworkState(
        id=name,
        name=name,
        driver="bridge",
        subnets=(),
        gateway="",
        labels={key.replace("_", "."): value for key, value in labels.items()},
        created=created,
    )


def volume(name: str, *, created: float = OLD, **labels: str) -> VolumeState:
    found = {key.replace("_", "."): value for key, value in labels.items()}
    return VolumeState(name=name, labels=found, created=created)


def stock(**changes: object) -> Stock:
    base = Stock(now=NOW, containers=(), networks=(), volumes=())
    return replace(base, **changes)  # type: ignore[arg-type]


def names(found: Stock, older_than: float = 900.0) -> list[str]:
    return [f"{one.kind} {one.name}" for one in strays(found, older_than)]


SERVER = container(
    "k3d-up-server-0", "up", "server", "k3d-up", **labelled("k3d.cluster.network", "k3d-up")
)


def test_a_cluster_is_there_as_long_as_a_server_is() -> None:
    """Running or not; all of its parts stay then, and everything that is not ours or k3d's."""
    found = stock(
        containers=(SERVER, container("k3d-up-agent-0", "up", "agent", "k3d-up"), foreign("db")),
        networks=(network("k3d-up", app="k3d", k3d_cluster="up"), network("db"), network("k3d-x")),
        volumes=(volume("k3d-up-images", app="k3d", k3d_cluster="up"), volume("data")),
    )

    assert [] == names(found)


def test_without_a_server_all_of_it_goes() -> None:
    """Nodes, the load balancer, k3d's tools container, network and volumes."""
    found = stock(
        containers=(
            SERVER,
            container("k3d-old-agent-0", "old", "agent", "k3d-old"),
            container("k3d-old-serverlb", "old", "loadbalancer", "k3d-old"),
            container("k3d-old-tools", "old", "noRole", "k3d-old"),
        ),
        networks=(network("k3d-old", app="k3d"), network("k3d-up", app="k3d")),
        volumes=(volume("k3d-old-images", app="k3d", k3d_cluster="old"),),
        usage={"k3d-old-images": VolumeUsage(size=7, users=3)},
        mounts={f"k3d-old-{one}": ("k3d-old-images",) for one in ("agent-0", "serverlb", "tools")},
    )

    assert [
        "container k3d-old-agent-0",
        "container k3d-old-serverlb",
        "container k3d-old-tools",
        "network k3d-old",
        "volume k3d-old-images",
    ] == names(found)
    assert 7 == next(one.size for one in strays(found, 0) if one.kind == "volume")


def test_what_is_young_is_being_made() -> None:
    """One young part keeps all of its cluster; what does not tell its age is young."""
    old = network("k3d-a", app="k3d")
    new = volume("k3d-a-images", app="k3d", k3d_cluster="a", created=YOUNG)
    silent = network("k3d-b", app="k3d", created=0.0)

    assert [] == names(stock(networks=(old, silent), volumes=(new,)))
    assert ["network k3d-a"] == names(stock(networks=(old,)))
    everything = stock(networks=(old, silent), volumes=(new,))
    assert ["network k3d-a", "volume k3d-a-images", "network k3d-b"] == names(everything, 0)


def test_what_somebody_uses_stays() -> None:
    """A network that others are in or go by, a volume that others mount."""
    found = stock(
        containers=(
            SERVER,
            foreign("db", "k3d-a"),
            container(
                "k3d-other-server-0", "other", "server", **labelled("k3d.cluster.network", "k3d-b")
            ),
        ),
        networks=(network("k3d-a", app="k3d"), network("k3d-b", app="k3d")),
        volumes=(volume("k3d-a-images", app="k3d", k3d_cluster="a"),),
        usage={"k3d-a-images": VolumeUsage(size=None, users=1)},
    )

    assert [] == names(found)


def test_registries_outlive_their_cluster_where_others_use_them() -> None:
    """One that is nowhere else goes, one by itself never; a network with registries alone goes."""
    found = stock(
        containers=(
            SERVER,
            container("k3d-a-registry", "a", "registry", "k3d-a", "bridge"),
            container("k3d-b-registry", "b", "registry", "k3d-b", "k3d-up"),
            container("k3d-mine", "", "registry", "bridge", "k3d-b"),
        ),
        networks=(network("k3d-a", app="k3d"), network("k3d-b", app="k3d")),
    )

    assert ["container k3d-a-registry", "network k3d-a", "network k3d-b"] == names(found)


def test_nodes_of_clusters_elsewhere_stay() -> None:
    """k3d lets them join a cluster of another machine, by its address."""
    url = "https://1.2.3.4:6443"
    node = container("k3d-far-0", url, "agent", **labelled("k3d.cluster.external", "true"))

    assert [] == names(stock(containers=(node,)))


def test_tools_containers_of_clusters_that_are_there_go_when_they_are_old() -> None:
    """k3d makes one when it wants one; a young one may be at work."""
    old = container("k3d-up-tools", "up", "noRole")
    young = replace(old, name="k3d-up-tools2", created=YOUNG)

    assert ["container k3d-up-tools"] == names(stock(containers=(SERVER, old, young)))


def test_what_was_made_for_several_clusters_goes_only_on_request() -> None:
    """And only where nobody uses it."""
    mark: dict[str, Any] = {"app": "k3d", "k3dasync_external": "true"}
    found = stock(
        containers=(foreign("db", "k3d-shared"),),
        networks=(network("k3d-shared", **mark), network("k3d-free", **mark)),
        volumes=(volume("used", **mark), volume("free", **mark)),
        usage={"used": VolumeUsage(size=1, users=1), "free": VolumeUsage(size=5, users=0)},
    )

    assert [] == names(found, 0)
    asked = [f"{one.kind} {one.name}" for one in external(found, 900.0)]
    assert ["network k3d-free", "volume free"] == asked


def test_a_cluster_expires() -> None:
    """When the engine's clock is past what its nodes say."""
    label: dict[str, Any] = {"k3dasync.expires": "1970-01-01T02:46:40Z"}
    node = container("k3d-up-server-0", "up", "server", **label)

    assert ["up"] == stock(containers=(node,)).expired
    assert [] == replace(stock(containers=(node,)), now=9_999.0).expired
    silly = container("k3d-up-server-0", "up", "server", **labelled("k3dasync.expires", "soon"))
    assert [] == stock(containers=(silly,)).expired
