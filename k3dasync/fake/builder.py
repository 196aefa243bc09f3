"""Builds of the fake engine: it reads context and Dockerfile, and refuses what a real one does.

Nothing is run; a RUN of `false` or `exit N` fails like it.
"""

import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace

from e2b_dockerfile_utils import DockerfileInstruction, parse_dockerfile_ast

from k3dasync.build import BuildSpec
from k3dasync.build_context import bases_of
from k3dasync.fake import archives
from k3dasync.image_errors import BuildFailed
from k3dasync.runtime import ImageState

_KNOWN = frozenset(
    {"add", "arg", "cmd", "copy", "entrypoint", "env", "expose", "from", "healthcheck", "label"}
    | {"maintainer", "onbuild", "run", "shell", "stopsignal", "user", "volume", "workdir"}
)
_OF_CONTEXT = frozenset({"add", "copy"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """A build that can be done: the images it begins with, and what comes out."""

    bases: tuple[str, ...]
    image: ImageState


async def recipe(
    context: AsyncIterator[bytes] | None, spec: BuildSpec, say: Callable[[str], None]
) -> Recipe:
    """Read a context to its end; raises BuildFailed with a real engine's words."""
    if context is None:
        raise BuildFailed(spec.tags, f"unable to fetch {spec.remote}: no such host")
    content = b"".join([piece async for piece in context])
    files = _files(content, spec)
    if spec.dockerfile not in files:
        words = f"Cannot locate specified Dockerfile: {spec.dockerfile}"
        raise BuildFailed(spec.tags, words)
    dockerfile = files[spec.dockerfile]
    steps = _until(list(_steps(dockerfile, spec)), spec)
    for number, step in enumerate(steps, 1):
        say(f"Step {number}/{len(steps)} : {step.name.upper()} {' '.join(step.args)}")
        _check(step, files, spec)
    id = f"sha256:{hashlib.sha256(content).hexdigest()}"
    tags = tuple(tag for one in spec.tags for tag in archives.image(one, 0).tags)
    made = replace(archives.image(spec.tags[0], sum(map(len, files.values()))), id=id, tags=tags)
    return Recipe(bases_of(dockerfile), made)


def _files(content: bytes, spec: BuildSpec) -> dict[str, bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            return {
                member.name: file.read() if (file := tar.extractfile(member)) else b""
                for member in tar
            }
    except tarfile.TarError as error:
        raise BuildFailed(spec.tags, f"Error processing tar file(exit status 1): {error}") from None


def _steps(dockerfile: bytes, spec: BuildSpec) -> Iterator[DockerfileInstruction]:
    try:
        found = parse_dockerfile_ast(dockerfile.decode()).instructions
    except ValueError as error:
        raise BuildFailed(spec.tags, f"dockerfile parse error: {error}") from None
    for step in found:
        if step.name.lower() not in _KNOWN:
            words = f"dockerfile parse error: unknown instruction: {step.name.upper()}"
            raise BuildFailed(spec.tags, words)
        yield step


def _until(steps: list[DockerfileInstruction], spec: BuildSpec) -> list[DockerfileInstruction]:
    """Return the steps up to the end of the stage that is wanted."""
    if not spec.target:
        return steps
    begins = [number for number, step in enumerate(steps) if step.name.lower() == "from"]
    for begin, end in zip(begins, [*begins[1:], len(steps)], strict=True):
        if spec.target.lower() in [word.lower() for word in steps[begin].args[2:3]]:
            return steps[:end]
    raise BuildFailed(spec.tags, f"failed to reach build target {spec.target} in Dockerfile")


def _check(step: DockerfileInstruction, files: dict[str, bytes], spec: BuildSpec) -> None:
    name = step.name.lower()
    if name in _OF_CONTEXT and not any(flag.startswith("--from") for flag in step.flags):
        for source in step.args[:-1]:
            path = source.strip("/").removeprefix("./")
            if path not in {"", "."} and path not in files:
                raise BuildFailed(
                    spec.tags,
                    f"{name.upper()} failed: file not found in build context or excluded by "
                    f".dockerignore: stat {path}: file does not exist",
                )
    said = " ".join(step.args)
    code = (
        "1" if said == "false" else said.removeprefix("exit ") if said.startswith("exit ") else ""
    )
    if name == "run" and code not in {"", "0"}:
        words = f"The command '/bin/sh -c {said}' returned a non-zero code: {code}"
        raise BuildFailed(spec.tags, words)
