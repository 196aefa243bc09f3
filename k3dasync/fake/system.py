"""What simulated k3s deploys into its own namespace: manifests, a chart, and what they run."""

import anyio

from k3dasync.fake.boot import Boot
from k3dasync.fake.datastore import Datastore
from k3dasync.fake.faults import Stage
from k3dasync.workloads import MANIFESTS, Kind, Workload, addon_names

FOLDER = f"/var/lib/rancher/k3s{MANIFESTS}"
_BUNDLED = (
    "ccm.yaml",
    "coredns.yaml",
    "local-storage.yaml",
    "metrics-server/metrics-server-deployment.yaml",
    "rolebindings.yaml",
    "traefik.yaml",
)
_DEPLOYMENTS = {
    "coredns": "coredns",
    "local-storage": "local-path-provisioner",
    "metrics-server-deployment": "metrics-server",
}
"""What k3s's manifests run, by add-on; traefik comes by a chart."""
_CHART = "traefik"
_TOO_FEW = "Deployment does not have minimum availability."


async def deploy(boot: Boot, store: Datastore) -> None:
    """Apply every manifest in turn, then let what they run become available."""
    latency, files = boot.latency, boot.container.files
    await boot.spend(latency.stage)
    disabled = _disabled(boot)
    for name in _BUNDLED:
        if not _is_disabled(name, disabled):
            files.setdefault(f"{FOLDER}/{name}", b"kind: List\n")
    for path in sorted(path for path in files if path.startswith(f"{FOLDER}/")):
        if _is_disabled(path.removeprefix(f"{FOLDER}/"), disabled):
            del files[path]
            continue
        for name in addon_names([path]):
            addon = Workload(kind=Kind.ADDON, name=name, is_available=False, related=path)
            store.note(addon)
            await boot.spend(latency.apply)
            _run(store, name)
            store.note(Workload(kind=Kind.ADDON, name=name, is_available=True, related=path))
    await boot.reach(Stage.AVAILABLE)
    while not any(node.is_ready for node in store.nodes.values()):
        await boot.machine.changed.wait()
    async with anyio.create_task_group() as group:
        group.start_soon(_become_available, boot, store, list(store.system[Kind.DEPLOYMENT]))
        group.start_soon(_install, boot, store)


def _disabled(boot: Boot) -> frozenset[str]:
    """Return what `--disable` names."""
    words = iter(boot.container.spec.command or ())
    found: list[str] = []
    for word in words:
        flag, has_value, value = word.partition("=")
        if flag == "--disable":
            found += (value if has_value else next(words, "")).split(",")
    return frozenset(name.removesuffix(".yaml") for name in found)


def _is_disabled(path: str, disabled: frozenset[str]) -> bool:
    """Say whether a manifest is, by its file's name or a folder's."""
    return not disabled.isdisjoint(path.removesuffix(".yaml").split("/"))


def _run(store: Datastore, addon: str) -> None:
    if addon in _DEPLOYMENTS:
        store.note(_deployment(_DEPLOYMENTS[addon], is_available=False))
    if addon == _CHART:
        store.note(Workload(kind=Kind.CHART, name=_CHART, is_available=False))


def _deployment(name: str, *, is_available: bool) -> Workload:
    reason = "" if is_available else _TOO_FEW
    return Workload(kind=Kind.DEPLOYMENT, name=name, is_available=is_available, reason=reason)


async def _become_available(boot: Boot, store: Datastore, deployments: list[str]) -> None:
    await boot.spend(boot.latency.pods)
    for name in deployments:
        store.note(_deployment(name, is_available=True))


async def _install(boot: Boot, store: Datastore) -> None:
    """Install the chart: a job, a deployment, and a daemonset that takes its ports on each node."""
    if _CHART not in store.system[Kind.CHART]:
        return
    job = f"helm-install-{_CHART}"
    store.note(Workload(kind=Kind.JOB, name=job, is_available=False))
    store.note(Workload(kind=Kind.CHART, name=_CHART, is_available=True, related=job))
    await boot.spend(boot.latency.chart)
    store.note(_deployment(_CHART, is_available=False))
    ports = Workload(kind=Kind.DAEMONSET, name=f"svclb-{_CHART}", is_available=False)
    store.note(ports)
    store.note(Workload(kind=Kind.JOB, name=job, is_available=True))
    await boot.spend(boot.latency.pods)
    store.note(_deployment(_CHART, is_available=True))
    store.note(Workload(kind=Kind.DAEMONSET, name=ports.name, is_available=True))
