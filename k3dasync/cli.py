"""The command line: the table of commands, and the exit code. No decisions.

Commands are named by import path and imported when they run, so that `--help` stays instant.
"""

import errno
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from cyclopts.help import PlainFormatter

from k3dasync import __version__, streams, usage, verbosity
from k3dasync.errors import K3dAsyncError, OutputError
from k3dasync.forewords import with_name, with_wait_level
from k3dasync.streams import say

_COMMANDS = {
    "create": "Create a cluster.",
    "delete": "Delete clusters.",
    "list": "List clusters.",
    "start": "Start stopped clusters.",
    "stop": "Stop clusters; nothing is lost.",
    "restart": "Stop clusters and start them again.",
    "pause": "Freeze clusters where they are.",
    "resume": "Let paused clusters go on.",
    "scale": "Give a cluster as many nodes as are asked for.",
}
_NODE = {
    "list": (("ls", "get"), "List nodes of all clusters."),
    "create": ((), "Add nodes to a cluster."),
    "delete": ((), "Delete nodes."),
    "start": ((), "Start stopped nodes."),
    "stop": ((), "Stop nodes."),
}
_CLUSTER_ALIASES = {"delete": ("del", "rm"), "list": ("ls", "get")}
_PATHS = {
    "list": "k3dasync.commands.list:list_clusters",
    **{
        word: f"k3dasync.commands.lifecycle:{word}"
        for word in ("start", "stop", "restart", "pause", "resume")
    },
}

_ACCESS = {
    "logs": "Print the logs of a cluster's nodes as one.",
    "export-logs": "Pack what a bug report needs, without secrets.",
    "kubectl": "Run kubectl on a cluster.",
    "shell": "Open a shell whose kubectl uses a cluster.",
}
"""What looks into a cluster or uses it."""

_CONFIG: dict[str, tuple[tuple[str, ...], str]] = {
    "init": (("create",), "Write a config file to start from."),
    "view": (("show",), "Print what a create would be asked for."),
    "migrate": (("update",), "Write a config file in the newest format."),
    "schema": ((), "Print the JSON Schema of config files."),
}

_REGISTRY: dict[str, tuple[tuple[str, ...], str]] = {
    "create": ((), "Create a registry by itself."),
    "delete": (("del", "rm"), "Delete registries."),
    "list": (("ls", "get"), "List registries."),
    "start": ((), "Start registries."),
    "stop": ((), "Stop registries."),
    "connect": ((), "Let clusters use registries."),
    "disconnect": ((), "Let clusters use registries no more."),
}

_EXTERNAL: dict[str, tuple[tuple[str, ...], str]] = {
    "create": ((), "Create a {} for several clusters."),
    "delete": (("del", "rm"), "Delete {}s that were created so."),
    "list": (("ls", "get"), "List {}s that were created so."),
}

_ABOUT = """k3s clusters in Docker containers, created concurrently.

With every command: --verbose and --trace tell more on standard error, --timestamps the time of day.
"""


def build() -> App:
    """Return the application; nothing but the table is imported by this."""
    app = _app("k3dasync", _ABOUT)
    cluster = _app("cluster", "Work with clusters, as k3d says it.")
    for word, help in _COMMANDS.items():
        path = _PATHS.get(word, f"k3dasync.commands.{word}:{word}")
        app.command(path, name=word, help=help)
        _command(cluster, path, word, _CLUSTER_ALIASES.get(word, ()), help)
    app.command(cluster)
    node = _app("node", "Work with single nodes.")
    for word, (also, help) in _NODE.items():
        path = f"k3dasync.commands.node:{'list_nodes' if word == 'list' else word}"
        _command(node, path, word, also, help)
    app.command(node)
    _add_edit(app, cluster, node)
    _add_image(app)
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
    _add_registry(app)
    _add_external(app)
    config = _app("config", "Work with config files.")
    for word, (also, help) in _CONFIG.items():
        _command(config, f"k3dasync.commands.config:{word}", word, also, help)
    app.command(config)
    app.command(
        "k3dasync.commands.rollback:rollback",
        name="rollback",
        help="Take back what a killed run left.",
    )
    app.command(
        "k3dasync.commands.prune:prune",
        name="prune",
        help="Remove what belongs to no cluster, and clusters whose time is over.",
    )
    app.command(
        "k3dasync.commands.doctor:doctor",
        name="doctor",
        help="Check whether a cluster would come up, with cures.",
    )
    app.command(
        "k3dasync.commands.completion:completion",
        name="completion",
        help="Print what makes a shell complete command lines.",
    )
    _add_access(app, cluster, kubeconfig)
    return app


def _add_edit(app: App, cluster: App, node: App) -> None:
    """Add what changes and shows load balancers."""
    path, help = "k3dasync.commands.edit:cluster", "Change what a cluster publishes."
    _command(app, path, "edit", ("update",), help)
    _command(cluster, path, "edit", ("update",), help)
    path = "k3dasync.commands.edit:node"
    _command(node, path, "edit", ("update",), "Change what a load balancer publishes.")
    debug = _app("debug", "Look into clusters, as k3d says it.")
    debug.show = False
    for name in ("loadbalancer", "lb"):
        group = _app(name, "Look into load balancers.")
        path = "k3dasync.commands.debug:get_config"
        group.command(path, name="get-config", help="Print what one forwards.")
        debug.command(group)
    app.command(debug)


def _add_access(app: App, cluster: App, kubeconfig: App) -> None:
    """Add what looks into clusters or uses them."""
    from k3dasync.commands.version import version as print_versions

    for name, help in _ACCESS.items():
        word = name.replace("-", "_")
        app.command(f"k3dasync.commands.{word}:{word}", name=name, help=help)
    has_debug = "debug" in app
    debug = app["debug"] if has_debug else _app("debug", "Look into clusters, as k3d says it.")
    for group in (cluster, debug):
        path = "k3dasync.commands.export_logs:export_logs"
        group.command(path, name="export-logs", help=_ACCESS["export-logs"])
    debug.show = False
    if not has_debug:
        app.command(debug)
    path = "k3dasync.commands.kubeconfig:remove"
    _command(kubeconfig, path, "remove", ("rm",), "Remove clusters from kubeconfigs.")
    version = _app("version", "Print versions.")
    version.default(print_versions)
    path = "k3dasync.commands.version:list_versions"
    _command(version, path, "list", ("ls",), "List the tags of a component's image.")
    app.command(version)
    path = "k3dasync.commands.runtime_info:runtime_info"
    help = "Print what the engine says of itself."
    app.command(path, name="runtime-info", help=help, show=False)


def _add_registry(app: App) -> None:
    for name in ("registry", "registries", "reg"):
        group = _app(name, "Work with registries.")
        group.show = name == "registry"
        for word, (also, help) in _REGISTRY.items():
            function = "list_registries" if word == "list" else word
            _command(group, f"k3dasync.commands.registry:{function}", word, also, help)
        app.command(group)


def _add_external(app: App) -> None:
    for name in ("volume", "network"):
        group = _app(name, f"Work with {name}s of no cluster.")
        for word, (also, help) in _EXTERNAL.items():
            path = f"k3dasync.commands.{name}:{word}_{name}{'s' * (word != 'create')}"
            _command(group, path, word, also, help.format(name))
        app.command(group)


def _add_image(app: App) -> None:
    """Add the commands of `image`, and the two spellings that its import had before."""
    path, help = "k3dasync.commands.image:import_images", "Import images into clusters."
    for name in ("image", "images"):
        group = _app(name, "Get images into clusters, and see which are there.")
        group.show = name == "image"
        _command(group, path, "import", ("load",), help)
        _command(
            group, "k3dasync.commands.image_build:build", "build", (), "Build and import an image."
        )
        _command(
            group,
            "k3dasync.commands.image_list:list_images",
            "list",
            ("ls",),
            "List nodes' images.",
        )
        app.command(group)
    tools = _app("tools", help)
    tools.show = False
    tools.command(path, name="import-images", help=help)
    app.command(tools)
    app.command(path, name="import-images", help=help)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    streams.open_missing()
    _forget_empty_variables()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["__complete"]:
        from k3dasync.commands.completion import complete  # asked by shells

        return complete(build(), words[1:])
    try:
        wished, given = verbosity.take(words)
        verbosity.current.set(wished)
        given = with_name(with_wait_level(given))
        if given[:1] == ["help"]:
            given = [*given[1:], "--help"]
        app = build()
        if given and given[0] not in app and not given[0].startswith("-"):
            from k3dasync import plugins  # only for words that are not ours

            plugin = plugins.find(given)
            if plugin is not None:
                return plugin.run()
        result = app(given, exit_on_error=False, print_error=False, result_action="return_value")
        streams.settle()
        if isinstance(result, int):
            return result  # of a program that was run for the user
    except KeyboardInterrupt:
        return 130
    except CycloptsError as error:
        return _report(usage.of(error))
    except Exception as error:
        known = _ours(error)
        if known is None:
            raise
        return _report(known)
    return 0


def _forget_empty_variables() -> None:
    """Let empty variables of flags count as not set: so does k3d's, and scripts rely on it."""
    empty = [name for name, value in os.environ.items() if name.startswith("K3D_") and not value]
    for name in empty:
        del os.environ[name]


def _ours(error: Exception) -> K3dAsyncError | None:
    """Return what can be told in one line, None for a fault of ours."""
    if isinstance(error, K3dAsyncError):
        return error
    # The help is printed without us. Errors of files carry a name, those of sockets other numbers.
    if isinstance(error, OSError) and error.filename is None and error.errno in _WRITE_ERRORS:
        streams.silence(sys.stdout)
        return OutputError(error)
    return None


_WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF})


def _report(error: K3dAsyncError) -> int:
    """Print the cause first, then what became of it."""
    if isinstance(error, OutputError) and error.has_no_reader:
        return error.exit_code
    cause = error.__cause__
    if cause is not None and getattr(error, "left", None) and str(cause) not in str(error):
        say(str(cause))
    for note in getattr(error, "__notes__", ()):
        say(note)
    # The code stands in the first line: below it may stand a log's last words.
    first, line_end, rest = str(error).partition("\n")
    say(f"error: {first} [{error.code}]{line_end}{rest}")
    return error.exit_code
