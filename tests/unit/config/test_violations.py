"""What is wrong in a config file is told at once, all of it, each with its place."""

import os
from pathlib import Path

import pytest

from k3dasync.config import loading
from k3dasync.errors import ConfigInvalid

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_violations(path: Path) -> None:
    """Line by line as in the file beside it; UPDATE_GOLDEN=1 writes that."""
    with pytest.raises(ConfigInvalid) as caught:
        loading.interpret(path.read_text(), "c.yaml")
    found = "".join(f"{line}\n" for line in caught.value.violations)
    golden = path.with_suffix(".txt")
    if "UPDATE_GOLDEN" in os.environ:
        golden.write_text(found)

    assert golden.read_text() == found
    assert ("CONFIG_INVALID", 2) == (caught.value.code, caught.value.exit_code)


def test_one_violation_is_one_line() -> None:
    """So it reads like any other error."""
    with pytest.raises(ConfigInvalid) as caught:
        loading.interpret("apiVersion: k3d.io/v1alpha5\nkind: Simple\nagents: -1\n", "c.yaml")

    assert (
        "cannot use config file c.yaml:3: agents: expected a whole number of at least 0, "
        "found the number -1"
    ) == str(caught.value)


def test_a_secret_is_not_quoted() -> None:
    """Also if it is written in the wrong way."""
    text = "apiVersion: k3d.io/v1alpha5\nkind: Simple\ntoken: 4711\n"
    with pytest.raises(ConfigInvalid) as number:
        loading.interpret(text, "c.yaml")
    with pytest.raises(ConfigInvalid) as blank:
        loading.interpret(text.replace("4711", "47 11"), "c.yaml")

    assert "47" not in str(number.value) + str(blank.value)
