"""Images built by docker's own command: with the user's builder, cache and flags."""

import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import anyio
from anyio.abc import Process

from k3dasync.build import BuildRequest
from k3dasync.docker.endpoint import Endpoint, resolve
from k3dasync.image_errors import BuildFailed
from k3dasync.streams import pass_on

END_SECONDS = 10.0
"""For a builder that is told to end: BuildKit cleans up in a second or two."""
_OUTPUTS = ("--load", "--push", "--output", "-o")
"""Flags that say where the image goes; then it is the user who knows."""
_CLASSIC = ["build", "--force-rm"]
"""A step that fails else leaves its container."""
_HELP = ("Usage:", "Run 'docker ", "See 'docker ")
"""How the lines begin which docker puts behind the reason when it does not take its arguments."""
_OWN_SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
"""Where docker's command looks by itself."""


class DockerCommand:
    """The docker command on PATH, for the engine that we use, too."""

    def __init__(self, program: str, environ: Mapping[str, str], home: Path) -> None:
        self._program = program
        self._environ = environment(environ, resolve(environ, home))

    async def build(self, request: BuildRequest) -> None:
        try:
            command = [self._program, *await self._verb(request), *flags(request)]
            code, words = await _run(command, self._environ, reads_stdin=request.reads_stdin)
        except OSError as error:  # a program for another machine, too long a command line
            said = f"cannot run {self._program}: {error.strerror or error}"
            raise BuildFailed(request.tags, said) from error
        if code:
            said = words or f"docker build ended with code {code}, its words are above"
            raise BuildFailed(request.tags, said)

    async def _verb(self, request: BuildRequest) -> list[str]:
        """Return how a build is called, so that the image gets to the engine.

        Builders of buildx beside the engine keep what they build, unless told to load it; the
        builder that docker had before them knows no such flag.
        """
        if self._environ.get("DOCKER_BUILDKIT") == "0":
            return _CLASSIC
        asked = await anyio.run_process(
            [self._program, "buildx", "version"], check=False, env=self._environ
        )
        if asked.returncode:
            return _CLASSIC
        names = (word.partition("=")[0] for word in request.further)
        return ["buildx", "build", *([] if set(_OUTPUTS) & set(names) else ["--load"])]


def find(environ: Mapping[str, str]) -> DockerCommand | None:
    """Return docker's command, None if there is none.

    Raises EngineUnavailable if the environment names no engine.
    """
    program = shutil.which("docker", path=environ.get("PATH"))
    home = Path(environ.get("HOME") or Path.home())
    return None if program is None else DockerCommand(program, environ, home)


def environment(environ: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
    """Return the environment in which docker's command finds the same engine.

    Where it would by itself, nothing is changed: builders belong to a context or a host.
    """
    chosen = endpoint.origin != "default socket" or endpoint.url in _OWN_SOCKETS
    return {**environ, **({} if chosen else {"DOCKER_HOST": endpoint.url})}


def flags(request: BuildRequest) -> list[str]:
    """Return the arguments of a build, the context last."""
    given = {
        "--file": request.file,
        "--target": request.target,
        "--platform": request.platform,
    }
    words = [word for tag in request.tags for word in ("--tag", tag)]
    words += [word for key, value in given.items() if value for word in (key, value)]
    words += [word for one in request.arguments for word in ("--build-arg", one)]
    words += ["--no-cache"] * request.no_cache + ["--pull"] * request.pull
    return [*words, *request.further, request.context]


async def _run(
    command: Sequence[str], environ: Mapping[str, str], *, reads_stdin: bool
) -> tuple[int, str]:
    """Run it, all of its output on standard error; return its code, and its last words.

    A terminal it gets itself, for its own display: then there are no words.
    """
    is_terminal = sys.stderr.isatty()
    output: int | IO[bytes] = sys.stderr.fileno() if is_terminal else subprocess.PIPE
    # Not cut while it begins: it would be killed, and might have begun already.
    with anyio.CancelScope(shield=True):
        process = await anyio.open_process(
            list(command),
            stdin=None if reads_stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
        )
    said = deque[str](maxlen=1)  # both of docker's builders end with what is wrong
    try:
        await _follow(process, said)
    except BaseException:
        with anyio.move_on_after(END_SECONDS, shield=True):
            # A terminal has told it already, if that was Ctrl-C; twice does no harm.
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await _follow(process, said)
        raise
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):  # it is dead, or has been killed
            await process.aclose()
    return process.returncode or 0, "; ".join(said)


async def _follow(process: Process, said: deque[str]) -> None:
    """Pass on what it says until it ends; keep its last lines."""
    rest = b""
    if process.stdout is not None:
        async for piece in process.stdout:
            pass_on(piece)
            *lines, rest = (rest + piece).split(b"\n")
            said.extend(filter(_is_reason, map(_plain, lines)))
    said.extend(filter(_is_reason, [_plain(rest)]))
    await process.wait()


def _is_reason(text: str) -> bool:
    return bool(text) and not text.startswith(_HELP)


def _plain(line: bytes) -> str:
    return " ".join(line.decode(errors="replace").split())


def docker_on_path() -> DockerCommand | None:
    """Return docker's command of this process's environment, None if there is none."""
    return find(os.environ)
