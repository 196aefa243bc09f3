"""The command line: the table of commands, and the exit code. No decisions.

Commands are named by import path and imported when they run, so that `--help` stays instant.
"""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from cyclopts.help import PlainFormatter

from k3dasync import __version__

_COMMANDS = {
    "create": "Create a cluster.",
    "delete": "Delete clusters.",
    "list": "List clusters.",
}
_CLUSTER_ALIASES = {"delete": ("del", "rm"), "list": ("ls", "get")}
_PATHS = {"list": "k3dasync.commands.list:list_clusters"}


def build() -> App:
    """Return the application; nothing but the table is imported by this."""
    app = _app("k3dasync", "k3s clusters in Docker containers, created concurrently.")
    cluster = _app("cluster", "Create, delete and list clusters, as k3d says it.")
    for word, help in _COMMANDS.items():
        path = _PATHS.get(word, f"k3dasync.commands.{word}:{word}")
        app.command(path, name=word, help=help)
        _command(cluster, path, word, _CLUSTER_ALIASES.get(word, ()), help)
    app.command(cluster)
    plan = _app("plan", "Print what a command would do.")
    plan.command("k3dasync.commands.plan:plan_create", name="create", help="Plan a create.")
    app.command(plan)
    kubeconfig = _app("kubeconfig", "Get and merge kubeconfigs.")
    for word, alias, help in (
        ("get", ("print", "show"), "Print kubeconfigs."),
        ("merge", ("write",), "Write kubeconfigs into files."),
    ):
        path = f"k3dasync.commands.kubeconfig:{word}"
        _command(kubeconfig, path, word, alias, help)
    app.command(kubeconfig)
    app.command(
        "k3dasync.commands.rollback:rollback",
        name="rollback",
        help="Take back what a killed run left.",
    )
    app.command("k3dasync.commands.version:version", name="version", help="Print versions.")
    return app


def _command(app: App, path: str, name: str, aliases: Sequence[str], help: str) -> None:
    app.command(path, name=name, help=help)
    for alias in aliases:
        app.command(path, name=alias, help=help, show=False)


def _app(name: str, help: str) -> App:
    return App(
        name=name,
        help=help,
        version=__version__,
        # rich's markdown would cost 40 ms of every --help.
        help_format="plaintext",
        help_formatter=PlainFormatter(),
    )


def with_wait_level(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--wait` alone spelt out.

    Its value stands only after `=`, as in k3d, so that `--wait dev` does not eat the name.
    """
    result: list[str] = []
    for index, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[index:]]
        result.append("--wait=nodes" if argument == "--wait" else argument)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    given = with_wait_level(sys.argv[1:] if arguments is None else arguments)
    try:
        build()(given, exit_on_error=False, print_error=False, result_action="return_none")
    except CycloptsError as error:
        return _fail(f"{_usage_error(error)}; see: k3dasync --help", 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from k3dasync.errors import K3dAsyncError

        if not isinstance(error, K3dAsyncError):
            raise
        return _report(error)
    return 0


def _usage_error(error: CycloptsError) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _report(error: BaseException) -> int:
    """Print the cause first, then what became of it."""
    cause = error.__cause__
    if cause is not None and getattr(error, "left", None) and str(cause) not in str(error):
        _say(str(cause))
    for note in getattr(error, "__notes__", ()):
        _say(note)
    return _fail(str(error), int(getattr(error, "exit_code", 1)))


def _fail(text: str, code: int) -> int:
    _say(f"error: {text}")
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr)
