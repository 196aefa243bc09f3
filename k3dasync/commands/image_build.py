"""`image build`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag
from k3dasync.commands.image import ClustersFlag
from k3dasync.invalid import MissingValue, UnknownFlag
from k3dasync.spec import DEFAULT_NAME

if TYPE_CHECKING:
    from k3dasync.build import Builder
    from k3dasync.commands._run import Session
    from k3dasync.events import AnyEvent, EventSink
    from k3dasync.operations.image_import import Imported

Context = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,  # a lone - is standard input
        help="A folder, an address that the builder fetches, or - for standard input.",
    ),
]
Further = Annotated[str, Parameter(help="Behind --: flags for docker's own command.")]
Tags = Annotated[
    tuple[str, ...],
    Parameter(
        name=["--tag", "-t"],
        negative="",
        consume_multiple=False,
        help="The image's name; repeat it for more.",
    ),
]
Arguments = Annotated[
    tuple[str, ...],
    Parameter(
        name="--build-arg",
        negative="",
        consume_multiple=False,
        help="KEY=VALUE, or the environment's KEY.",
    ),
]
Dockerfile = Annotated[
    str,
    Parameter(
        name=["--file", "-f"],
        allow_leading_hyphen=True,  # same
        help="The Dockerfile; - for standard input.",
    ),
]
Platform = Annotated[str, Parameter(help="linux/arm64; the engine's own if not given.")]


def build(
    context: Context = ".",
    /,
    *further: Further,
    tag: Tags = (),
    cluster: ClustersFlag = (DEFAULT_NAME,),
    file: Dockerfile = "",
    build_arg: Arguments = (),
    target: Annotated[str, Parameter(help="The stage to build.")] = "",
    platform: Platform = "",
    no_cache: Annotated[bool, Parameter(negative="", help="Build every step anew.")] = False,
    pull: Annotated[bool, Parameter(negative="", help="Look for newer bases.")] = False,
    timeout: Annotated[str, Parameter(help="Stop after that time; 0s: no limit.")] = "1h",
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Build an image and import it into all nodes of clusters.

    By docker's command if there is one, with your builder, else by the engine's own builder.
    """
    from k3dasync.build import BuildRequest
    from k3dasync.commands._run import run
    from k3dasync.operations import image_build as operation
    from k3dasync.spec import check_name, parse_duration
    from k3dasync.verbosity import inform

    _check(context, file, tag)
    request = BuildRequest(
        tags=tag,
        context=context,
        file=file,
        arguments=build_arg,
        target=target,
        platform=platform,
        no_cache=no_cache,
        pull=pull,
        further=further,
    )
    clusters = tuple(dict.fromkeys(map(check_name, cluster)))
    seconds = parse_duration(timeout)

    async def perform(session: "Session") -> "Imported":
        return await operation.build_images(
            request,
            clusters,
            builder=_builder(runtime, session),
            seconds=seconds,
            backend=session.backend,
            sinks=_after_build(session.sinks),
            stop=session.stop,
        )

    done = run(perform, runtime=runtime, events=events, shows_progress=True)
    count, where = len(done.nodes), ", ".join(clusters)
    inform(f"{', '.join(tag)} built and imported into {count} node{'s'[: count != 1]} of {where}")


def _check(context: str, file: str, tags: "Sequence[str]") -> None:
    if file.startswith("-") and file != "-":
        raise MissingValue("--file needs a value")
    if context.startswith("-") and context != "-":
        raise UnknownFlag(
            f"unknown flag {context}; flags for docker's own command stand behind the folder and "
            "--: image build -t NAME . -- --secret id=token"
        )
    if not tags:
        raise MissingValue("name the image: --tag NAME; a node finds no image that has no name")


def _builder(runtime: str, session: "Session") -> "Builder":
    """Return docker's command if it is there and means the same engine, else the engine."""
    import os

    from k3dasync import backend
    from k3dasync.operations.image_build import EngineBuilder

    if runtime == backend.DEFAULT:
        from k3dasync.docker import command

        if (found := command.docker_on_path()) is not None:
            return found
    return EngineBuilder(session.backend.runtime, dict(os.environ))


def _after_build(sinks: "Sequence[EventSink]") -> "list[EventSink]":
    """Let the display, the last of them, wait: the builder writes where it would draw."""
    *others, display = sinks
    return [*others, AfterBuild(display)]


class AfterBuild:
    """A display that is told everything when the builder has ended, and from then on at once."""

    def __init__(self, display: "EventSink") -> None:
        self._display = display
        self._held: list[AnyEvent] | None = []

    def write(self, event: "AnyEvent") -> None:
        """Hand it on, now or later."""
        from k3dasync import events

        if self._held is None:
            self._display.write(event)
            return
        self._held.append(event)
        is_end = isinstance(event, events.TaskEnd) and event.task.startswith("build:")
        if is_end or isinstance(event, events.RunFailed):
            held, self._held = self._held, None
            for one in held:
                self._display.write(one)
