"""What k3s runs in its own namespace: shapes, and how to tell that all of it is available. Pure.

k3s deploys itself in steps: it stages its manifests on the init server's disk, applies one after
the other and notes each in an AddOn object; a chart among them becomes a job, and the job makes
more. Whoever looks at the deployments that there are just now may look too early. So each step is
known to be over before the next one is looked at.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from posixpath import basename
from typing import Any

NAMESPACE = "kube-system"
MANIFESTS = "/server/manifests"
"""Where manifests are staged, below k3s's data directory."""


class Kind(StrEnum):
    """A kind of object; the value is how people are told of it."""

    ADDON = "manifest"
    CHART = "chart"
    JOB = "job"
    DEPLOYMENT = "deployment"
    DAEMONSET = "daemonset"
    POD = "pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One object: has it done what it is there for, and if not, the reason the API gives.

    `related` is the path of an add-on's manifest, or the name of a chart's job; a chart that needs
    none is available without.
    """

    kind: Kind
    name: str
    is_available: bool
    reason: str = ""
    related: str = ""


Workloads = Mapping[str, Workload]


def workload(kind: Kind, found: Mapping[str, Any]) -> Workload:
    """Read one object of the API."""
    is_available, reason, related = _READERS[kind](found)
    return Workload(
        kind=kind,
        name=str(found["metadata"]["name"]),
        is_available=is_available,
        reason=reason,
        related=related,
    )


_UNMANAGED = "helmcharts.helm.cattle.io/unmanaged"
_Read = tuple[bool, str, str]
"""Whether it is available, the reason if not, what it is related to."""


def _addon(found: Mapping[str, Any]) -> _Read:
    spec = found.get("spec") or {}
    # The checksum is written when everything in the manifest has been applied (k3s, pkg/deploy).
    return bool(spec.get("checksum")), "", str(spec.get("source") or "")


def _chart(found: Mapping[str, Any]) -> _Read:
    spec, status = found.get("spec") or {}, found.get("status") or {}
    job = str(status.get("jobName") or "")
    # Those that k3s's helm controller leaves alone get no job from it.
    is_unmanaged = _UNMANAGED in (found["metadata"].get("annotations") or {})
    if is_unmanaged or not (spec.get("chart") or spec.get("chartContent")):
        return True, "", job
    return bool(job), _message(status, "Failed", "True"), job


def _job(found: Mapping[str, Any]) -> _Read:
    status = found.get("status") or {}
    failed = status.get("failed", 0)
    reason = _message(status, "Failed", "True") or (f"{failed} pods have failed" if failed else "")
    return _is(status, "Complete"), reason, ""


def _deployment(found: Mapping[str, Any]) -> _Read:
    status = found.get("status") or {}
    # That pods cannot be made, or not within the deployment's own deadline, says more than that
    # there are too few of them, which is what the last of these conditions says at first.
    reason = (
        _message(status, "ReplicaFailure", "True")
        or _message(status, "Progressing", "False")
        or _message(status, "Available", "False")
    )
    return _is_observed(found) and _is(status, "Available"), reason, ""


def _daemonset(found: Mapping[str, Any]) -> _Read:
    status = found.get("status") or {}
    wanted, has = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    return _is_observed(found) and has >= wanted, f"{has} of {wanted} pods are available", ""


def _pod(found: Mapping[str, Any]) -> _Read:
    status = found.get("status") or {}
    is_available = status.get("phase") == "Succeeded" or _is(status, "Ready")
    containers = ("initContainerStatuses", "containerStatuses")
    states = [one.get("state") or {} for key in containers for one in status.get(key) or []]
    for waiting in (state.get("waiting") or {} for state in states):
        if waiting.get("reason", "") not in _USUAL:
            words = (waiting["reason"], waiting.get("message"))
            return is_available, ": ".join(word for word in words if word), ""
    return is_available, _message(status, "PodScheduled", "False"), ""


_USUAL = {"", "ContainerCreating", "PodInitializing"}
"""What the containers of every pod wait for at first."""
_READERS = {
    Kind.ADDON: _addon,
    Kind.CHART: _chart,
    Kind.JOB: _job,
    Kind.DEPLOYMENT: _deployment,
    Kind.DAEMONSET: _daemonset,
    Kind.POD: _pod,
}


def _is_observed(found: Mapping[str, Any]) -> bool:
    """Say whether the status is that of the object as it is now, not of an older one."""
    generation = found["metadata"].get("generation", 0)
    return bool((found.get("status") or {}).get("observedGeneration", 0) >= generation)


def _conditions(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("conditions") or []


def _is(status: Mapping[str, Any], kind: str) -> bool:
    return any(
        one.get("type") == kind and one.get("status") == "True" for one in _conditions(status)
    )


def _message(status: Mapping[str, Any], kind: str, value: str) -> str:
    """Return what a condition of that value says, its reason if it has no words."""
    for one in _conditions(status):
        if one.get("type") == kind and one.get("status") == value:
            return str(one.get("message") or one.get("reason") or "")
    return ""


def addon_names(paths: Collection[str]) -> frozenset[str]:
    """Return the add-ons that k3s makes of the files in its manifests' folder.

    As k3s does it (pkg/deploy): every YAML or JSON file, in subfolders too, unless there is one
    beside it that is called `.skip` behind the same name.
    """
    names = {basename(path) for path in paths}
    return frozenset(
        name.partition(".")[0]
        for name in names
        if name.lower().endswith((".yaml", ".yml", ".json"))
        and not name.startswith(".")
        and f"{name}.skip" not in names
    )


def staging_folder(addons: Workloads) -> str | None:
    """Return the folder the manifests are in; None while k3s has not begun to apply them.

    It applies the first one when all are staged: then the folder is complete.
    """
    for addon in addons.values():
        root, found, _ = addon.related.partition(f"{MANIFESTS}/")
        if found:
            return f"{root}{MANIFESTS}"
    return None


def lacking_addons(names: Collection[str], addons: Workloads) -> list[str]:
    """Return what is to come of the add-ons of those *names*, in words; empty if nothing is."""
    return [
        f"{Kind.ADDON} {name} to be applied"
        for name in sorted(names)
        if name not in addons or not addons[name].is_available
    ]


def lacking_jobs(charts: Workloads, jobs: Workloads) -> list[str]:
    """Return the same for the jobs that install charts."""
    found: list[str] = []
    for name, chart in sorted(charts.items()):
        job = jobs.get(chart.related)
        if chart.is_available and not chart.related:
            continue
        if job is None:
            found.append(_told(f"{Kind.CHART} {name} to get its job", chart.reason))
        elif not job.is_available:
            found.append(_told(f"{Kind.JOB} {job.name} to complete", job.reason or chart.reason))
    return found


def lacking_workloads(*kinds: Workloads) -> list[str]:
    """Return the same for what runs."""
    return [
        _told(f"{one.kind} {name} to be available", one.reason)
        for workloads in kinds
        for name, one in sorted(workloads.items())
        if not one.is_available
    ]


def pod_troubles(pods: Workloads) -> list[str]:
    """Return what keeps pods from running, in words; the objects they are of say less of it."""
    return [
        f"{Kind.POD} {name}: {pod.reason}"
        for name, pod in sorted(pods.items())
        if pod.reason and not pod.is_available
    ]


def _told(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
