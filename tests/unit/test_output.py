"""Standard output that is waited for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from k3dasync.commands._output import Output
from k3dasync.errors import OutputError
from tests.support import asyncio_only

ENDLESS = """
import anyio
from k3dasync.commands._output import Output

async def main():
    output = Output()
    while True:
        await output.write(b"x" * 10000)

try:
    anyio.run(main)
except KeyboardInterrupt:
    raise SystemExit(130)
"""


@asyncio_only
async def test_a_file_takes_everything(capfd: pytest.CaptureFixture[str]) -> None:
    """Nobody can wait for one, nor has to."""
    output = Output()
    await output.write(b"a" * 100_000)
    await output.write(b"\n")

    assert "a" * 100_000 + "\n" == capfd.readouterr().out


def test_ctrl_c_is_felt_although_nobody_reads(tmp_path: Path) -> None:
    """The process ends at once."""
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"x" == process.stdout.read(1)  # and no more
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(timeout=20)


@asyncio_only
async def test_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that says so."""
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: ASYNC230, PTH123
        monkeypatch.setattr(sys, "stdout", stream)
        output = Output()
        with pytest.raises(OutputError) as raised:
            await output.write(b"x")
    assert raised.value.has_no_reader
