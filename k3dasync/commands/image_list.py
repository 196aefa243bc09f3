"""`image list`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import RuntimeFlag
from k3dasync.commands._tables import NoHeadersFlag, OutputFlag, columns, form_of, structured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k3dasync.commands._run import Session
    from k3dasync.node_images import ListedImage
    from k3dasync.operations.image_list import Listing

SHORT_ID = 12
"""Characters of an id, as docker and crictl show it."""
MOST_LACKING = 3
"""Nodes named that lack an image; of the others the number is told, and `-o json` has all."""


def list_images(
    *clusters: Annotated[str, Parameter(help="Clusters; all if none is given.")],
    cluster: Annotated[
        tuple[str, ...],
        Parameter(name=["--cluster", "-c"], negative="", consume_multiple=False, help="The same."),
    ] = (),
    output: OutputFlag = "table",
    no_headers: NoHeadersFlag = False,
    runtime: RuntimeFlag = "docker",
) -> None:
    """List the images in the nodes of clusters, and which nodes lack one."""
    from k3dasync.commands._run import run
    from k3dasync.operations import image_list as operation
    from k3dasync.spec import check_name
    from k3dasync.streams import show
    from k3dasync.verbosity import warn

    how = form_of(output, "table", "json", "yaml")
    names = tuple(map(check_name, (*clusters, *cluster)))

    async def perform(session: "Session") -> "Listing":
        return await operation.list_images(names, session.backend.runtime)

    listing = run(perform, runtime=runtime)
    for node, status in listing.silent.items():
        warn(f"{node} does not run, it is {status}: what it has is not known")
    if how == "table":
        text = table(listing.images, no_headers=no_headers)
    else:
        text = structured([_described(one) for one in listing.images], how)
    if text:
        show(text)
    if listing.failure is not None:
        raise listing.failure


def table(images: "Sequence[ListedImage]", *, no_headers: bool) -> str:
    """Return a line an image; NODES says how many of those that were asked have it."""
    rows = [] if no_headers else [["CLUSTER", "IMAGE", "ID", "SIZE", "NODES"]]
    rows += [
        [
            one.cluster,
            one.name,
            one.id.removeprefix("sha256:")[:SHORT_ID],
            f"{one.size / 1e6:.1f} MB",
            _nodes(one),
        ]
        for one in images
    ]
    return columns(rows)


def _nodes(image: "ListedImage") -> str:
    count = f"{len(image.nodes)}/{len(image.nodes) + len(image.lacking)}"
    if not image.lacking:
        return count
    names = [one.removeprefix(f"k3d-{image.cluster}-") for one in image.lacking]
    more = len(names) - MOST_LACKING
    rest = f" and {more} more" if more > 0 else ""
    return f"{count}, not {', '.join(names[:MOST_LACKING])}{rest}"


def _described(image: "ListedImage") -> dict[str, object]:
    return {
        "cluster": image.cluster,
        "image": image.name,
        "id": image.id,
        "size": image.size,
        "nodes": list(image.nodes),
        "lacking": list(image.lacking),
    }
