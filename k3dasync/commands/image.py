"""`image import`, also as `import-images` and `tools import-images`."""

from typing import Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.invalid import InvalidValue, MissingValue, UnknownFlag
from k3dasync.spec import DEFAULT_NAME

MODES = ("direct", "tools-node", "tools", "auto")
"""k3d's. There is but one way here: straight into the nodes."""


_Images = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,  # a lone - is standard input
        help="Images of the engine (name, id or digest), tar files, - for standard input.",
    ),
]
ClustersFlag = Annotated[
    tuple[str, ...],
    Parameter(
        name=["--cluster", "-c"],
        negative="",
        consume_multiple=False,
        help="Where to; repeat it for several clusters.",
    ),
]
_Mode = Annotated[
    str,
    Parameter(
        name=["--mode", "-m"],
        help="direct, tools-node, tools or auto, all the same: straight into the nodes.",
    ),
]
_KeepTarball = Annotated[
    bool,
    Parameter(
        name=["--keep-tarball", "-k"], negative="", help="Without effect: there is no tarball."
    ),
]
_KeepTools = Annotated[
    bool,
    Parameter(
        name=["--keep-tools", "-t"],
        negative="",
        help="Without effect: there is no tools container.",
    ),
]


def import_images(
    *images: _Images,
    cluster: ClustersFlag = (DEFAULT_NAME,),
    timeout: Annotated[str, Parameter(help="Stop after that time; 0s: no limit.")] = "15m",
    mode: _Mode = "auto",
    keep_tarball: _KeepTarball = False,  # noqa: ARG001 - k3d's
    keep_tools: _KeepTools = False,  # noqa: ARG001 - same
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Import images into all nodes of clusters: read once, sent to all nodes at once, verified."""
    from k3dasync.commands._run import Session, run
    from k3dasync.operations import image_import as operation
    from k3dasync.spec import check_name, parse_duration
    from k3dasync.verbosity import inform

    if not images:
        raise MissingValue("name at least one image, tar file, or - for standard input")
    unknown = [one for one in images if one.startswith("-") and one != "-"]
    if unknown:
        raise UnknownFlag(f"unknown flag {unknown[0]}; see: k3dasync image import --help")
    if mode not in MODES:
        raise InvalidValue(f"--mode {mode!r}: expected one of {', '.join(MODES)}")
    clusters = tuple(dict.fromkeys(map(check_name, cluster)))
    seconds = parse_duration(timeout)

    async def perform(session: Session) -> operation.Imported:
        return await operation.import_images(
            images,
            clusters,
            seconds=seconds,
            backend=session.backend,
            sinks=session.sinks,
            stop=session.stop,
        )

    done = run(perform, runtime=runtime, events=events, shows_progress=True)
    count, nodes = len(done.images), len(done.nodes)
    what = ", ".join(done.images) if 0 < count <= 3 else f"{count} images"
    inform(f"{what} imported into {nodes} node{'s' * (nodes != 1)} of {', '.join(clusters)}")
