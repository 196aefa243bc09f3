"""What k3s deploys: how its objects are read, and what is still lacking."""

from dataclasses import replace
from typing import Any

import pytest

from k3dasync.workloads import (
    Kind,
    Workload,
    addon_names,
    lacking_addons,
    lacking_jobs,
    lacking_workloads,
    pod_troubles,
    staging_folder,
    workload,
)

FOLDER = "/var/lib/rancher/k3s/server/manifests"
TOO_FEW = "Deployment does not have minimum availability."
NO_PROGRESS = 'ReplicaSet "coredns-1" has timed out progressing.'


def thing(generation: int = 1, **parts: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "generation": generation}, **parts}


def condition(kind: str, status: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "Because", "message": message}


def status(*conditions: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"conditions": list(conditions), "observedGeneration": 1, **fields}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    running: dict[str, Any] = {"state": {"running": {}}}
    waiting = {"state": {"waiting": {"reason": reason, "message": message}}}
    return status(initContainerStatuses=[running], containerStatuses=[running, waiting])


READ = [
    pytest.param(Kind.ADDON, thing(), (False, "", ""), id="addon of nothing"),
    pytest.param(
        Kind.ADDON,
        thing(spec={"source": f"{FOLDER}/x.yaml"}),
        (False, "", f"{FOLDER}/x.yaml"),
        id="addon begun",
    ),
    pytest.param(
        Kind.ADDON,
        thing(spec={"source": f"{FOLDER}/x.yaml", "checksum": "ab"}),
        (True, "", f"{FOLDER}/x.yaml"),
        id="addon applied",
    ),
    pytest.param(Kind.CHART, thing(spec={"chart": "x"}), (False, "", ""), id="chart not seen yet"),
    pytest.param(Kind.CHART, thing(spec={}), (True, "", ""), id="chart of nothing"),
    pytest.param(
        Kind.CHART,
        {
            "metadata": {
                "name": "x",
                "annotations": {"helmcharts.helm.cattle.io/unmanaged": "true"},
            },
            "spec": {"chart": "x"},
        },
        (True, "", ""),
        id="chart that is unmanaged",
    ),
    pytest.param(
        Kind.CHART,
        thing(spec={"chartContent": "x"}, status={"jobName": "install-x"}),
        (True, "", "install-x"),
        id="chart with its job",
    ),
    pytest.param(
        Kind.CHART,
        thing(spec={"chart": "x"}, status=status(condition("Failed", "True", "no such chart"))),
        (False, "no such chart", ""),
        id="chart that fails",
    ),
    pytest.param(
        Kind.JOB, thing(status={"failed": 3}), (False, "3 pods have failed", ""), id="job goes on"
    ),
    pytest.param(
        Kind.JOB,
        thing(status=status(condition("Complete", "True"))),
        (True, "", ""),
        id="job complete",
    ),
    pytest.param(Kind.DEPLOYMENT, thing(), (False, "", ""), id="deployment not seen yet"),
    pytest.param(
        Kind.DEPLOYMENT,
        thing(status=status(condition("Available", "False", TOO_FEW))),
        (False, TOO_FEW, ""),
        id="deployment with too few",
    ),
    pytest.param(
        Kind.DEPLOYMENT,
        thing(
            status=status(
                condition("Available", "False", TOO_FEW),
                condition("Progressing", "False", NO_PROGRESS),
            )
        ),
        (False, NO_PROGRESS, ""),
        id="deployment that has given up",
    ),
    pytest.param(
        Kind.DEPLOYMENT,
        thing(status=status(condition("Available", "False"))),
        (False, "Because", ""),
        id="condition without words",
    ),
    pytest.param(
        Kind.DEPLOYMENT,
        thing(status=status(condition("Available", "True"))),
        (True, "", ""),
        id="deployment available",
    ),
    pytest.param(
        Kind.DEPLOYMENT,
        thing(2, status=status(condition("Available", "True"))),
        (False, "", ""),
        id="deployment that has been changed since",
    ),
    pytest.param(
        Kind.DAEMONSET,
        thing(status=status(desiredNumberScheduled=3, numberAvailable=1)),
        (False, "1 of 3 pods are available", ""),
        id="daemonset with too few",
    ),
    pytest.param(
        Kind.DAEMONSET,
        thing(status={"desiredNumberScheduled": 0}),
        (False, "0 of 0 pods are available", ""),
        id="daemonset nobody has looked at",
    ),
    pytest.param(
        Kind.DAEMONSET,
        thing(status=status(desiredNumberScheduled=3, numberAvailable=3)),
        (True, "3 of 3 pods are available", ""),
        id="daemonset available",
    ),
    pytest.param(
        Kind.POD,
        thing(status=status(condition("Ready", "True"), phase="Running")),
        (True, "", ""),
        id="pod that runs",
    ),
    pytest.param(
        Kind.POD,
        thing(status=status(condition("Ready", "False"), phase="Succeeded")),
        (True, "", ""),
        id="pod of a job that is done",
    ),
    pytest.param(
        Kind.POD,
        thing(status=status(condition("PodScheduled", "False", "0/1 nodes are available"))),
        (False, "0/1 nodes are available", ""),
        id="pod without a node",
    ),
    pytest.param(
        Kind.POD, thing(status=waits("ContainerCreating")), (False, "", ""), id="pod that begins"
    ),
    pytest.param(
        Kind.POD,
        thing(status=waits("ImagePullBackOff", "no such host")),
        (False, "ImagePullBackOff: no such host", ""),
        id="pod without its image",
    ),
]


@pytest.mark.parametrize(("kind", "found", "expected"), READ)
def test_an_object_is_read(
    kind: Kind, found: dict[str, Any], expected: tuple[bool, str, str]
) -> None:
    """Whether it is available, why not in the API's words, and what it is related to."""
    read = workload(kind, found)

    assert (kind, "x") == (read.kind, read.name)
    assert expected == (read.is_available, read.reason, read.related)


def test_addons_are_named_as_k3s_names_them() -> None:
    """Files with objects in them, to the first dot, subfolders too; not hidden, not skipped."""
    paths = [
        f"{FOLDER}/{name}"
        for name in (
            "coredns.yaml",
            "metrics-server/deployment.v1.YML",
            "custom/mine.json",
            "notes.txt",
            ".half-written.yaml",
            "traefik.yaml",
            "traefik.yaml.skip",
        )
    ]

    assert frozenset({"coredns", "deployment", "mine"}) == addon_names(paths)


def addon(name: str, *, applied: bool, source: str = "") -> dict[str, Workload]:
    one = Workload(kind=Kind.ADDON, name=name, is_available=applied, related=source)
    return {name: one}


def test_the_folder_is_where_the_first_addon_comes_from() -> None:
    """Also under another data directory; unknown while nothing is applied from there."""
    elsewhere = addon("x", applied=True, source="/opt/other/x.yaml")
    moved = addon("ccm", applied=False, source="/data/k3s/server/manifests/ccm.yaml")

    assert [None, None, "/data/k3s/server/manifests"] == [
        staging_folder(found) for found in ({}, elsewhere, elsewhere | moved)
    ]


def test_addons_that_are_absent_or_begun_are_lacking() -> None:
    """Those that nobody expects are nobody's concern."""
    found = addon("a", applied=True) | addon("b", applied=False) | addon("z", applied=False)

    assert ["manifest b to be applied", "manifest c to be applied"] == lacking_addons(
        {"c", "b", "a"}, found
    )


def test_a_chart_lacks_its_job_until_that_is_complete() -> None:
    """First it has none, then none is there, then it goes on."""
    chart = Workload(kind=Kind.CHART, name="t", is_available=False)
    named = Workload(kind=Kind.CHART, name="t", is_available=True, related="j")
    running = Workload(kind=Kind.JOB, name="j", is_available=False, reason="2 pods have failed")
    done = Workload(kind=Kind.JOB, name="j", is_available=True)

    assert [
        ["chart t to get its job"],
        ["chart t to get its job"],
        ["job j to complete: 2 pods have failed"],
        [],
        [],
        [],
    ] == [
        lacking_jobs({"t": chart}, {}),
        lacking_jobs({"t": named}, {}),
        lacking_jobs({"t": named}, {"j": running}),
        lacking_jobs({"t": named}, {"j": done}),
        lacking_jobs({}, {"somebody-elses": running}),
        lacking_jobs({"t": replace(named, related="")}, {}),
    ]


def test_what_runs_is_lacking_until_it_is_available() -> None:
    """Each with its reason, kind after kind."""
    coredns = Workload(kind=Kind.DEPLOYMENT, name="coredns", is_available=False, reason=TOO_FEW)
    other = Workload(kind=Kind.DEPLOYMENT, name="a", is_available=True)
    ports = Workload(kind=Kind.DAEMONSET, name="svclb", is_available=False)

    assert [
        f"deployment coredns to be available: {TOO_FEW}",
        "daemonset svclb to be available",
    ] == lacking_workloads({"coredns": coredns, "a": other}, {"svclb": ports})


def test_what_keeps_pods_from_running_is_told() -> None:
    """Of those that run, or have only begun, there is nothing to tell."""
    begun = Workload(kind=Kind.POD, name="begun", is_available=False)
    stuck = Workload(kind=Kind.POD, name="stuck", is_available=False, reason="ErrImagePull: no")
    ready = Workload(kind=Kind.POD, name="ready", is_available=True, reason="CrashLoopBackOff")

    assert ["pod stuck: ErrImagePull: no"] == pod_troubles(
        {one.name: one for one in (begun, stuck, ready)}
    )
