"""Imports point one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import k3dasync

ROOT = Path(k3dasync.__file__).parent

LAYERS: list[set[str]] = [
    {"__init__", "errors", "images", "workloads", "diagnosis", "pauses"},
    {"invalid", "node_errors", "life_errors", "access_errors", "image_errors", "member_errors"},
    {
        "masks",
        "streams",
        "fanout",
        "image_archive",
        "local_archives",
        "unpacking",
        "node_images",
        "build",
        "plugins",
        "children",
        "registry_api",
        "channels",
        "registries_yaml",
        "registry_probe",
        "graph",
        "quorum",
        "undo",
        "jsonlines",
        "loglines",
        "gather",
        "locks",
        "grammar",
        "kubernetes",
        "etcd",
        "adaptive",
        "addresses",
        "fixes",
        "host",
        "listening",
    },
    {"insides"},
    {"runtime", "spec", "events", "scheduler", "verbosity", "scrubbing", "build_context"},
    {
        "limits",
        "containerd",
        "entrypoint",
        "nginx",
        "backend",
        "cluster",
        "image_match",
        "etcd_grpc",
        "transient",
        "stalls",
        "exits",
    },
    {
        "resolve",
        "doctor",
        "config",
        "description",
        "node_files",
        "retrying",
        "journal",
        "drawing",
        "kubernetes_http",
        "etcd_reach",
        "sinks",
    },
    {"kubeconfig", "k3d_files", "watch", "docker", "fake"},
    {"tasks"},
    {"operations"},
    {"completion"},
    {"commands"},
    {"usage", "forewords"},
    {"cli"},
    {"__main__"},
]
"""Lowest first; a module imports only from lower layers, or inside its own package."""

FORBIDDEN = {
    "tasks": {"journal", "events", "scheduler", "docker", "fake", "sinks"},
    "sinks": {"runtime", "cluster", "watch", "docker", "fake"},
    "graph": {"undo", "events", "runtime", "cluster"},
    "config": {"runtime", "cluster", "events", "entrypoint", "nginx", "backend"},
    "scheduler": {"undo", "events", "runtime", "cluster"},
    "cli": {"tasks", "operations", "docker", "fake"},
    "fake": {"docker", "kubernetes_http", "watch"},
    "docker": {"fake", "cluster", "watch"},
}
"""Neighbours that may not know each other although their layers would allow it."""


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level names inside our package which a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = node.module.split(".")
            if parts[0] == "k3dasync":
                yield from parts[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "k3dasync":
                    yield parts[1] if len(parts) > 1 else "__init__"


def module(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def level(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if name in layer)


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    """No module imports from its own layer or one above, nor a neighbour it must not know."""
    mine = module(path)
    for name in set(imports(path)) - {mine, "__version__"}:
        assert level(name) < level(mine), f"{mine} imports {name}"
        assert name not in FORBIDDEN.get(mine, ()), f"{mine} must not know {name}"


def test_only_the_docker_package_knows_aiodocker() -> None:
    """Foreign libraries stop at one door each."""
    knowing = {
        module(path)
        for path in FILES
        if "aiodocker" in path.read_text() and "import aiodocker" in path.read_text()
    }

    assert {"docker"} == knowing


def test_nobody_uses_asyncio() -> None:
    """Everything runs on anyio, so that tests can run it on trio."""
    guilty = [
        path
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(one.name == "asyncio" for one in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "asyncio")
    ]

    assert [] == guilty


def test_files_and_functions_stay_small() -> None:
    """At most 400 lines a file and 60 a function, docstrings not counted."""
    too_long = []
    for path in FILES:
        text = path.read_text()
        if text.count("\n") > 400:
            too_long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = ast.get_docstring(node, clean=False) or ""
                length = (node.end_lineno or 0) - node.lineno + 1 - doc.count("\n")
                if length > 60:
                    too_long.append(f"{path.name}: {node.name} {length}")

    assert [] == too_long


def test_every_test_says_what_it_tests() -> None:
    """Each test has a one-sentence docstring."""
    silent = [
        f"{path.name}: {node.name}"
        for path in sorted(Path(__file__).parents[1].rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent
