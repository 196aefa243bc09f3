"""Commands that are not ours: `k3dasync-<name>` on PATH, as k3d has plugins."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program on PATH, and the arguments for it."""

    path: str
    arguments: tuple[str, ...]

    def run(self) -> int:
        """Run it with our streams and environment, and return its exit code.

        A signal from a terminal reaches it as well as us: what it means is the plugin's to say, so
        we wait for its end. A plugin that a signal has ended gives 128 and the signal's number.
        """
        with subprocess.Popen([self.path, *self.arguments]) as process:
            while True:
                try:
                    code = process.wait()
                except KeyboardInterrupt:
                    continue
                return code if code >= 0 else 128 - code


def find(arguments: Sequence[str]) -> Plugin | None:
    """Return the plugin that is meant, None if there is none on PATH.

    The words before the first flag name it, each `-` in a word as `_`, joined by `-`: `foo bar-baz`
    is `k3dasync-foo-bar_baz`, else `k3dasync-foo` with the argument `bar-baz`. The longest wins.
    """
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument.replace("-", "_"))
    for count in range(len(words), 0, -1):
        name = "-".join(["k3dasync", *words[:count]])
        path = None if os.sep in name else shutil.which(name)
        if path is not None:
            return Plugin(path, tuple(arguments[count:]))
    return None
