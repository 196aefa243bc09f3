"""What an export holds of one node: its log, what it is, files, and what programs in it say."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from posixpath import basename

import anyio
import msgspec

from k3dasync import masks
from k3dasync.cluster import KUBECONFIG_PATH, LABEL_ROLE, Role
from k3dasync.errors import EngineError, NotFound
from k3dasync.loglines import stamp
from k3dasync.operations._export_folder import Folder
from k3dasync.runtime import ContainerDetail, ContainerState, Executed, Runtime, Status

MOST_BYTES = 20 * 2**20
"""Of one file in a node, its end: containerd writes that in weeks."""
PATIENCE = 30.0
"""Seconds for a program in a node. A kubectl whose API does not answer gives up after about as
long by itself."""
LOGS = "/var/log"
ENTRYPOINTS = "k3d-entrypoints_"
CONTAINERD = "/var/lib/rancher/k3s/agent/containerd/containerd.log"
_NOT_THERE = frozenset({126, 127})
"""What runtimes and shells say of a program that is not in the image."""
_EVERYWHERE = ("ps", "df -h", "crictl images", "crictl ps -a")
_SERVERS = (
    "kubectl cluster-info",
    "kubectl version",
    "kubectl get nodes -o wide",
    "kubectl get pods -A -o wide",
    "kubectl get events -A",
)


async def export_node(node: ContainerState, *, runtime: Runtime, since: int, into: Folder) -> None:
    """Put everything of a node into a folder; what cannot be had is a problem of it."""
    try:
        detail = await runtime.inspect_container(node.name)
    except NotFound:
        into.problems.append(f"{node.name}: it was removed meanwhile")
        return
    into.write("inspect.json", inspection(detail))
    await _log(node.name, runtime, since, into)
    role = node.labels.get(LABEL_ROLE)
    is_k3s = role in {Role.SERVER, Role.AGENT}
    if node.status is not Status.RUNNING:
        into.notes.append(f"{node.name}: it is {node.status}, so no program was run in it")
        if is_k3s:
            await _files_at_rest(node.name, runtime, into)
        return
    if is_k3s:
        await _files(node.name, runtime, into)
    for command in commands_of(role):
        await _said(node.name, command, runtime, into)


def commands_of(role: str | None) -> Sequence[str]:
    """Return what is run in a node that runs."""
    match role:
        case Role.SERVER:
            return (*_EVERYWHERE, *_SERVERS)
        case Role.AGENT:
            return _EVERYWHERE
        case Role.LOADBALANCER:
            return ("ps", "nginx -T")
        case _:
            return ("ps",)


def inspection(detail: ContainerDetail) -> str:
    """Return a container as JSON, its secrets masked."""
    masked = replace(
        detail,
        env=tuple(map(masks.variable, detail.env)),
        command=tuple(masks.command(detail.command)),
        entrypoint=tuple(masks.command(detail.entrypoint)),
    )
    return json.dumps(msgspec.to_builtins(masked, order="sorted"), indent=2)


async def _log(name: str, runtime: Runtime, since: int, into: Folder) -> None:
    try:
        async with runtime.follow_logs(name, since=since, follow=False) as lines:
            with into.appending("container.log") as file:
                async for line in lines:
                    file.line(line.text, front=f"{stamp(line.at)} ")
    except EngineError as error:
        into.problems.append(str(error))


async def _files_at_rest(name: str, runtime: Runtime, into: Folder) -> None:
    """Read files of a node that does not run: of a folder the whole is read to know its names."""
    paths: list[str] = [CONTAINERD]
    try:
        paths += _entrypoints(await runtime.list_files(name, LOGS))
    except NotFound:
        into.notes.append(f"{name}: there is no {LOGS} in it")
    except EngineError as error:
        into.problems.append(str(error))
    for path in paths:
        try:
            content = await runtime.read_file(name, path)
        except NotFound:
            into.notes.append(f"{name}: there is no {path} in it")
        except EngineError as error:
            into.problems.append(str(error))
        else:
            _keep(path, content[-MOST_BYTES:], into)


async def _files(name: str, runtime: Runtime, into: Folder) -> None:
    """Read files of a node that runs, by programs in it, which read no more than is wanted."""
    listed = await _run(name, f"ls {LOGS}", runtime, into)
    names = listed.out.decode(errors="replace").split() if listed else []
    for path in (CONTAINERD, *_entrypoints(f"{LOGS}/{one}" for one in names)):
        done = await _run(name, f"tail -c {MOST_BYTES} {path}", runtime, into)
        if done is None:
            continue
        if done.code:
            into.notes.append(f"{name}: there is no {path} in it")
        else:
            _keep(path, done.out, into)


def _entrypoints(paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if basename(path).startswith(ENTRYPOINTS))


def _keep(path: str, content: bytes, into: Folder) -> None:
    into.write(basename(path), content.decode(errors="replace"))


async def _said(name: str, command: str, runtime: Runtime, into: Folder) -> None:
    done = await _run(name, command, runtime, into)
    if done is None:
        return
    if done.code in _NOT_THERE:
        into.notes.append(f"{name}: there is no {command.split(maxsplit=1)[0]} in it")
        return
    said = (done.out + done.err).decode(errors="replace").rstrip("\n")
    file = command.replace(" ", "-").replace("--", "-")
    into.write(f"commands/{file}.txt", f"$ {command}\n{said}\n[exit code {done.code}]\n")


async def _run(name: str, command: str, runtime: Runtime, into: Folder) -> Executed | None:
    words = command.split()
    if words[0] == "kubectl":
        words.insert(1, f"--kubeconfig={KUBECONFIG_PATH}")
    try:
        with anyio.fail_after(PATIENCE):
            return await runtime.execute(name, words)
    except TimeoutError:
        into.problems.append(f"{name}: {command} has not ended after {PATIENCE:g} s")
    except EngineError as error:
        into.problems.append(str(error))
    return None
