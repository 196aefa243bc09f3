"""An image of 200 MB into 13 nodes: by us, and node after node, as a script would do it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from benchmarks.bench_engine import CONDITIONS
from benchmarks.engine import Place, place, variant
from benchmarks.options import Options, Shape, Unavailable, load, median
from benchmarks.table import Report, Row
from k3dasync.build import BuildSpec
from k3dasync.build_context import packed, read_context
from k3dasync.cluster import Role
from k3dasync.docker.runtime import DockerRuntime

RUNS = 3
SHAPE = Shape(3, 10)
MEGABYTES = 200
IMPORT = ("ctr", "image", "import", "--all-platforms", "-")


@dataclass(slots=True)
class Times:
    """Seconds of every run."""

    ours: list[float] = field(default_factory=list)
    serial: list[float] = field(default_factory=list)
    k3d: list[float] = field(default_factory=list)


def run(options: Options) -> Report:
    """Measure imports; raises Unavailable without a docker command, which the other way needs."""
    docker = shutil.which("docker")
    if docker is None:
        raise Unavailable("there is no docker command to do it the other way")
    report = Report()
    with place() as here, _image(here) as tag:
        before = load()
        node_image = variant("bench-0", CONDITIONS[0].settings)
        for shape in options.shapes or (SHAPE,):
            here.create("import", shape, node_image)
            times = Times()
            for number in range(options.runs or RUNS):
                print(f"benchmarks: import: {shape}, {number + 1}", file=sys.stderr)
                times.ours.append(
                    here.command("image", "import", tag, "-c", f"{here.prefix}-import")
                )
                times.serial.append(_serial(docker, here, tag, shape))
                if shutil.which("k3d"):
                    times.k3d.append(_k3d(here, tag))
            here.delete("import")
            report.rows.extend(rows(shape, times))
    report.notes.append(f"import: load {before:.1f} before the runs, {load():.1f} after them")
    return report


def rows(shape: Shape, times: Times) -> list[Row]:
    """Return a row for every other way that was tried."""
    others = {"docker save, docker exec, node after node": times.serial, "k3d": times.k3d}
    return [
        Row(
            benchmark="import",
            case=f"{MEGABYTES} MB into {shape.servers + shape.agents} nodes",
            ours=median(times.ours),
            unit="s",
            against=against,
            reference=median(theirs),
            low=min(times.ours),
            high=max(times.ours),
            runs=len(times.ours),
        )
        for against, theirs in others.items()
        if theirs
    ]


def _k3d(here: Place, tag: str) -> float:
    """Let k3d do it, in its quickest mode; it says that all is well in any case."""
    began = time.perf_counter()
    command = ["k3d", "image", "import", tag, "-c", f"{here.prefix}-import", "--mode", "direct"]
    subprocess.run(command, env=here.environ, check=True, capture_output=True)
    return time.perf_counter() - began


def _serial(docker: str, here: Place, tag: str, shape: Shape) -> float:
    """Do it as scripts do: one export and one import for each node, one after the other."""
    counts = {Role.SERVER: shape.servers, Role.AGENT: shape.agents}
    nodes = [
        f"k3d-{here.prefix}-import-{role}-{number}"
        for role, count in counts.items()
        for number in range(count)
    ]
    began = time.perf_counter()
    for node in nodes:
        with subprocess.Popen([docker, "save", tag], stdout=subprocess.PIPE) as save:
            subprocess.run(
                [docker, "exec", "-i", node, *IMPORT],
                stdin=save.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )
    return time.perf_counter() - began


@contextmanager
def _image(here: Place) -> Iterator[str]:
    """Let the engine have an image of one layer that cannot be packed any smaller."""
    tag, folder = f"{here.prefix}:import", here.folder / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY random /\n")
    with (folder / "random").open("wb") as file:
        for _ in range(MEGABYTES):
            file.write(os.urandom(1_000_000))
    anyio.run(_build, tag, str(folder))
    shutil.rmtree(folder)
    try:
        yield tag
    finally:
        anyio.run(_remove, tag)


async def _build(tag: str, folder: str) -> None:
    context = read_context(folder, "")
    async with DockerRuntime() as runtime, packed(context) as pieces:
        await runtime.build_image(pieces, BuildSpec(tags=(tag,)), _unheard)


async def _remove(tag: str) -> None:
    async with DockerRuntime() as runtime:
        await runtime._engine.docker.images.delete(tag, force=True)


def _unheard(_text: str) -> None: ...
