"""What a command line means before its grammar reads it: where that depends on what stands next."""

from collections.abc import Sequence

from k3dasync.grammar.names import DEFAULT_NAME
from k3dasync.invalid import InvalidWait

_LEVELS = frozenset({"none", "api", "quorum", "nodes", "all", "true", "false"})
_WITH_PROGRAM = frozenset({"kubectl", "shell"})
"""Commands that hand on what stands behind `--`."""
_WITH_VALUE = frozenset({"--runtime"})
"""Their flags that take the next word."""


def with_wait_level(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--wait` alone spelt out.

    Its value stands only after `=`, as in k3d, so that `--wait dev` does not eat the name.
    Raises SpecError if a level stands where the name would.
    """
    result: list[str] = []
    for index, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[index:]]
        if argument != "--wait":
            result.append(argument)
            continue
        after = arguments[index + 1] if index + 1 < len(arguments) else ""
        if after in _LEVELS:
            raise InvalidWait(
                f"--wait {after}: the level stands after an equals sign: --wait={after}"
            )
        result.append("--wait=nodes")
    return result


def with_name(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the usual cluster's name where `--` follows none.

    What stands behind `--` is another program's, and would else be taken for the name.
    """
    given = list(arguments)
    if given[:1] and given[0] in _WITH_PROGRAM and "--" in given:
        end = given.index("--")
        if not _words(given[1:end]):
            return [*given[:end], DEFAULT_NAME, *given[end:]]
    return given


def _words(arguments: Sequence[str]) -> list[str]:
    """Return what is neither a flag nor the value of one."""
    before = ("", *arguments)
    return [
        word
        for previous, word in zip(before, arguments, strict=False)
        if not word.startswith("-") and previous not in _WITH_VALUE
    ]
