"""Which images are in which nodes, as their own crictl says."""

import pytest

from k3dasync.commands.image_list import table
from k3dasync.errors import ClusterNotFound, EngineError
from k3dasync.fake import Fail, FakeRuntime, Fault, Latency, backend_of
from k3dasync.node_images import ListedImage, NodeImage, merged, of_crictl
from k3dasync.operations.create import create
from k3dasync.operations.image_import import import_images
from k3dasync.operations.image_list import list_images
from k3dasync.runtime import Status
from k3dasync.spec import ClusterSpec

SAID = """{"images": [
  {"id": "sha256:aa", "repoTags": ["docker.io/library/a:1", "docker.io/library/a:2"],
   "repoDigests": ["docker.io/library/a@sha256:99"], "size": "1500000", "uid": null,
   "username": "", "spec": null, "pinned": false},
  {"id": "sha256:bb", "repoTags": [], "repoDigests": ["docker.io/library/b@sha256:98"],
   "size": "7"},
  {"id": "sha256:cc", "repoTags": [], "repoDigests": [], "size": "8"}
]}"""


def test_every_name_of_an_image_is_an_entry() -> None:
    """One without a tag goes by its digest, one without either by no name."""
    assert (
        NodeImage(name="docker.io/library/a:1", id="sha256:aa", size=1_500_000),
        NodeImage(name="docker.io/library/a:2", id="sha256:aa", size=1_500_000),
        NodeImage(name="docker.io/library/b@sha256:98", id="sha256:bb", size=7),
        NodeImage(name="<none>", id="sha256:cc", size=8),
    ) == of_crictl(SAID.encode())
    assert () == of_crictl(b'{"images": []}') == of_crictl(b'{"images": null}')


@pytest.mark.parametrize("said", ["", "no json", "[]", '{"images": [{"id": "x", "size": "many"}]}'])
def test_what_is_no_list_is_an_error(said: str) -> None:
    """A crictl of another kind is no node without images."""
    with pytest.raises(ValueError, match="what crictl says is no list of images"):
        of_crictl(said.encode())


def test_nodes_that_lack_an_image_or_have_an_older_one_are_told_apart() -> None:
    """One name with two ids stands twice."""
    old, new = (NodeImage(name="app:1", id=id, size=3) for id in ("sha256:00", "sha256:11"))
    first, second = merged("dev", {"x": [new], "y": [old], "z": []})

    assert (("y",), ("x", "z"), "sha256:00") == (first.nodes, first.lacking, first.id)
    assert (("x",), ("y", "z"), "sha256:11") == (second.nodes, second.lacking, second.id)


def test_the_table_says_who_lacks_an_image() -> None:
    """Three are named; of the rest it says how many."""

    def listed(name: str, has: int, lacks: int) -> ListedImage:
        nodes = tuple(f"k3d-dev-agent-{number}" for number in range(has + lacks))
        return ListedImage(
            cluster="dev",
            name=name,
            id=f"sha256:{'0123456789' * 6}abcd",
            size=12_340_000,
            nodes=nodes[:has],
            lacking=nodes[has:],
        )

    lines = table([listed("a:1", 2, 0), listed("b:1", 1, 1), listed("c:1", 1, 5)], no_headers=False)
    assert [
        "CLUSTER   IMAGE   ID             SIZE      NODES",
        "dev       a:1     012345678901   12.3 MB   2/2",
        "dev       b:1     012345678901   12.3 MB   1/2, not agent-1",
        "dev       c:1     012345678901   12.3 MB   1/6, not agent-1, agent-2, agent-3 and 2 more",
    ] == lines.splitlines()
    assert "" == table([], no_headers=True)


async def test_all_nodes_of_clusters_are_asked() -> None:
    """Those of all clusters if none is named; what does not run is said, not guessed."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        runtime.add_image("app:1")
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await create(ClusterSpec(name="two", agents=1), backend=backend)
        await import_images(["app:1"], ["dev"], seconds=60, backend=backend)
        await runtime.stop_container("k3d-two-agent-0")

        listing = await list_images([], runtime)
        assert [("dev", "docker.io/library/app:1", ())] == [
            (one.cluster, one.name, one.lacking) for one in listing.images
        ]
        assert ("k3d-dev-server-0", "k3d-dev-agent-0") == listing.images[0].nodes
        assert {"k3d-two-agent-0": Status.EXITED} == listing.silent
        assert () == (await list_images(["two"], runtime)).images
        with pytest.raises(ClusterNotFound, match="none"):
            await list_images(["dev", "none"], runtime)


async def test_a_node_that_does_not_tell_is_an_error_after_the_list() -> None:
    """What the others have is listed all the same."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        runtime.add_image("app:1")
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        await import_images(["app:1"], ["dev"], seconds=60, backend=backend)
        refused = Fail(EngineError("run", "crictl", "no room"))
        runtime.faults.orders = (Fault(verb="execute", name="k3d-dev-agent-0", trouble=refused),)

        listing = await list_images(["dev"], runtime)
        assert [("k3d-dev-server-0",)] == [one.nodes for one in listing.images]
        assert "no room" in str(listing.failure)
        assert "k3d-dev-agent-0" in str(listing.failure)
