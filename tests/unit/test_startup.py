"""What a command imports: `--help` must not pay for what it does not use."""

import subprocess
import sys

import pytest

HEAVY = (
    *("aiohttp", "aiodocker", "asyncio", "rich.markdown", "yaml", "msgspec", "grpc", "ssl"),
    "jsonschema",
)


def modules_after(code: str) -> set[str]:
    """Return the names of all modules loaded by a fresh interpreter that ran *code*."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import k3dasync.cli",
        "from k3dasync.cli import main; main(['--help'])",
        "from k3dasync.cli import main; main(['version'])",
        "from k3dasync.cli import main; main(['cluster', '--help'])",
    ],
)
def test_light_commands_import_nothing_heavy(code: str) -> None:
    """No engine client, no event loop, no YAML for a help text."""
    assert set() == modules_after(code) & set(HEAVY)


def test_help_of_create_needs_no_engine_client() -> None:
    """Its flags are known from light modules alone."""
    loaded = modules_after("from k3dasync.cli import main; main(['create', '--help'])")

    assert set() == loaded & {"aiohttp", "aiodocker", "asyncio", "yaml", "rich.markdown"}


def test_a_rehearsal_needs_no_engine_client() -> None:
    """The fake engine works where no engine's library does; without a file, no schema is used."""
    command = "['plan', 'create', '--runtime', 'fake']"
    loaded = modules_after(f"from k3dasync.cli import main; main({command})")

    assert set() == loaded & {"aiohttp", "aiodocker", "jsonschema"}


def test_list_needs_no_engine_client() -> None:
    """On an engine of this machine the standard library is enough, and quicker to import."""
    loaded = modules_after("from k3dasync.cli import main; main(['list'])")

    assert set() == loaded & {"aiohttp", "aiodocker", "rich.console", "yaml"}
