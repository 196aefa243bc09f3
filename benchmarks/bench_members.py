"""From which moment a real etcd takes another member: what the pipelined joins stand on."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from benchmarks.options import Options, Unavailable, median
from benchmarks.table import Report, Row
from k3dasync.etcd_grpc import CLIENT_PORT, decode_members, encode_varint
from k3dasync.tasks.join import HEALTH_INTERVAL

RUNS = 3
DELAYS = (0.0, 2.0, 4.0, 6.0)
"""Seconds between a learner's start and its promotion: less and more than etcd's interval."""
PAUSE = 0.02
"""Between two tries; a call takes a millisecond."""
SECONDS = 60.0
"""For one measurement; the longest takes 8 s."""
TOOLS = Path("~/.local/state/k3dasync-dev/tools/usr/bin/etcd")
HOSTS = ("127.7.0.1", "127.7.0.2", "127.7.0.3")
"""Linux answers on all of 127.0.0.0/8."""
CONNECTED = '"msg":"peer became active"'
_ADD, _LIST, _PROMOTE = "MemberAdd", "MemberList", "MemberPromote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Moments of one run, in seconds since 1970."""

    connected: float
    promoted: float
    taken: float


def run(options: Options) -> Report:
    """Measure all delays, asking either member."""
    binary = _etcd()
    report = Report()
    for delay in DELAYS:
        for asked in HOSTS[:2]:
            found = [anyio.run(_measure, binary, delay, asked) for _ in range(options.runs or RUNS)]
            who = "the first" if asked == HOSTS[0] else "the new one"
            case = f"promoted {delay:g} s after its start, {who} asked"
            for since in ("connected", "promoted"):
                seconds = [one.taken - getattr(one, since) for one in found]
                report.rows.append(
                    Row(
                        benchmark="members",
                        case=f"{case}: {since} to the next taken",
                        ours=median(seconds),
                        unit="s",
                        against="etcd's interval",
                        reference=HEALTH_INTERVAL,
                        low=min(seconds),
                        high=max(seconds),
                        runs=len(seconds),
                    )
                )
    return report


def _etcd() -> str:
    known = shutil.which("etcd") or str(TOOLS.expanduser())
    if not Path(known).is_file():
        raise Unavailable("there is no etcd; Debian has it in etcd-server, dev/test fetches it")
    return known


async def _measure(binary: str, delay: float, asked: str) -> Found:
    with anyio.fail_after(SECONDS), tempfile.TemporaryDirectory(prefix="k3dasync-bench-") as name:
        folder = Path(name)
        with _member(binary, folder, 0, "new"):
            await _until(lambda: _call(HOSTS[0], _LIST))
            await _until(lambda: _add(HOSTS[0], 1))
            with _member(binary, folder, 1, "existing"):
                await anyio.sleep(delay)
                (learner,) = [
                    one for one in decode_members(await _call(HOSTS[0], _LIST)) if one.is_learner
                ]
                promote = b"\x08" + encode_varint(learner.id)
                await _until(lambda: _call(HOSTS[0], _PROMOTE, promote))
                promoted = time.time()
                await _until(lambda: _add(asked, 2))
                taken = time.time()
        return Found(connected=_connected(folder / "0.log"), promoted=promoted, taken=taken)


def _connected(log: Path) -> float:
    line = next(one for one in log.read_text().splitlines() if CONNECTED in one)
    stamp = line.partition('"ts":"')[2].partition('"')[0]
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()


@contextmanager
def _member(binary: str, folder: Path, index: int, state: str) -> Iterator[None]:
    known = ",".join(f"{number}=http://{HOSTS[number]}:2380" for number in range(index + 1))
    own = {
        f"--listen-{kind}-urls": f"http://{HOSTS[index]}:{port}"
        for kind, port in (("peer", 2380), ("client", CLIENT_PORT))
    }
    options = {
        "--name": str(index),
        "--data-dir": str(folder / str(index)),
        **own,
        "--initial-advertise-peer-urls": own["--listen-peer-urls"],
        "--advertise-client-urls": own["--listen-client-urls"],
        "--initial-cluster": known,
        "--initial-cluster-state": state,
        "--logger": "zap",
        "--log-outputs": "stderr",
    }
    words = [word for option in options.items() for word in option]
    with (folder / f"{index}.log").open("w") as log:
        process = subprocess.Popen([binary, *words], stderr=log, stdout=log, env=_environ())
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _environ() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}


async def _add(host: str, index: int) -> bytes:
    """Ask a member to take another one as a learner."""
    url = f"http://{HOSTS[index]}:2380".encode()
    return await _call(host, _ADD, b"\x0a" + encode_varint(len(url)) + url + b"\x10\x01")


@asynccontextmanager
async def _channel(host: str) -> AsyncIterator[Any]:
    import grpc.aio

    async with grpc.aio.insecure_channel(f"{host}:{CLIENT_PORT}") as channel:
        yield channel


async def _call(host: str, method: str, request: bytes = b"") -> bytes:
    async with _channel(host) as channel:
        call = channel.unary_unary(f"/etcdserverpb.Cluster/{method}")
        return bytes(await call(request, timeout=5))


async def _until(call: Callable[[], Awaitable[bytes]]) -> None:
    import grpc.aio

    while True:
        try:
            await call()
        except grpc.aio.AioRpcError:
            await anyio.sleep(PAUSE)
        else:
            return
