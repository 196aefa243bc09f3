"""What is read of a Node object."""

from typing import Any

import pytest

from k3dasync.kubernetes import node_status


def node(*conditions: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "status": {"conditions": list(conditions)}}


READY = {"type": "Ready", "status": "True", "message": "kubelet is posting ready status"}
FULL = {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"}


def test_disk_pressure_is_told_in_the_words_of_its_condition() -> None:
    """A node with it may be Ready."""
    status = node_status(node(FULL, READY))

    assert status.is_ready
    assert "kubelet has disk pressure" == status.disk_pressure
    reason_only = {**FULL, "message": "", "reason": "KubeletHasDiskPressure"}
    assert "KubeletHasDiskPressure" == node_status(node(reason_only)).disk_pressure


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_condition_that_does_not_hold_is_none(status: str) -> None:
    """Nor one that nobody knows, of a node that has fallen silent."""
    assert "" == node_status(node({**FULL, "status": status}, READY)).disk_pressure
    assert "" == node_status(node()).disk_pressure
    assert not node_status({"metadata": {"name": "a"}}).is_ready
