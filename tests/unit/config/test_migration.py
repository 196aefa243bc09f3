"""Files of older versions ask for the same, and say which version is the newest."""

import pytest

from k3dasync.config import loading
from k3dasync.config.migration import migrate
from k3dasync.grammar.exposure import Exposure
from k3dasync.spec import ClusterSpec, RegistrySpec

V2 = """\
apiVersion: k3d.io/v1alpha2
kind: Simple
name: old
servers: 1
agents: 2
token: secret
ports:
  - port: 8080:80
    nodeFilters: ["server[0]", "agent[0,1]"]
  - port: 81:81
    nodeFilters: [loadbalancer]
labels:
  - label: a=b
    nodeFilters: ["agent[*]"]
options:
  k3d:
    timeout: 90s
    disableHostIPInjection: true
  k3s:
    extraServerArgs: [--disable=traefik]
    extraAgentArgs: [--x, --y]
  kubeconfig:
    updateDefaultKubeconfig: false
    switchCurrentContext: false
  runtime:
    serversMemory: 1g
registries:
  create: true
  use: [k3d-other]
"""
V3 = """\
apiVersion: k3d.io/v1alpha3
kind: Simple
name: old
options:
  runtime:
    labels:
      - label: a=b
        nodeFilters: [agent:0]
registries:
  create: {name: r, host: 0.0.0.0, hostPort: "5000"}
"""
V4 = """\
apiVersion: k3d.io/v1alpha4
kind: Simple
metadata: {name: old}
hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]
options: {runtime: {hostPidMode: true}}
"""


def loaded(text: str) -> ClusterSpec:
    return loading.interpret(text, "c.yaml").spec


def test_version_2() -> None:
    """Brackets become colons, labels and arguments move, the token and false stay."""
    spec = loaded(V2)

    assert ("old", "secret", 90.0) == (spec.name, spec.token, spec.timeout)
    assert ["8080:80@servers:0;agents:0,1", "81:81@loadbalancer"] == list(map(str, spec.ports))
    assert ["a=b@agents:*"] == list(map(str, spec.runtime_labels))
    assert ["--disable=traefik@servers:*", "--x@agents:*", "--y@agents:*"] == list(
        map(str, spec.k3s_args)
    )
    assert (False, False) == (spec.kubeconfig_update_default, spec.kubeconfig_switch_context)
    assert RegistrySpec(exposure=Exposure()) == spec.registry
    assert ["k3d-other"] == list(map(str, spec.registries))


def test_places_are_those_of_the_file() -> None:
    """Also for what has moved."""
    spec = loaded(V2)

    assert "c.yaml:13: labels[0].label" == spec.runtime_labels[0].origin
    assert "c.yaml:21: options.k3s.extraAgentArgs[1]" == spec.k3s_args[2].origin


@pytest.mark.parametrize("create", ["false", "true"])
def test_a_registry_of_version_2_is_yes_or_no(create: str) -> None:
    """Its name follows from the cluster's."""
    spec = loaded(V2.replace("create: true", f"create: {create}"))

    assert (create == "true") == (spec.registry is not None)


def test_versions_3_and_4() -> None:
    """The name moves; else version 5 only knows more."""
    assert ("old", ["a=b@agents:0"]) == (
        loaded(V3).name,
        list(map(str, loaded(V3).runtime_labels)),
    )
    assert ("old", True, 1) == (
        *(loaded(V4).name, loaded(V4).host_pid_mode, len(loaded(V4).host_aliases)),
    )


@pytest.mark.parametrize("text", [V2, V3, V4])
def test_an_old_file_is_told_of(text: str) -> None:
    """With the command that migrates it."""
    warnings = loading.interpret(text, "c.yaml").warnings

    assert "is of the older version" in warnings[-1]
    assert "config migrate" in warnings[-1]


def test_what_has_no_effect_any_more_is_told() -> None:
    """Rather than dropped in silence."""
    assert "c.yaml: options.k3d.disableHostIPInjection has no effect any more" in (
        loading.interpret(V2, "c.yaml").warnings
    )


def test_a_migration_leaves_what_it_is_given() -> None:
    """Documents are not changed in place."""
    document = {"apiVersion": "k3d.io/v1alpha3", "kind": "Simple", "name": "a"}
    found = migrate(document, "v1alpha3").document

    assert "a" == document["name"]
    assert {
        "apiVersion": "k3d.io/v1alpha5",
        "kind": "Simple",
        "metadata": {"name": "a"},
    } == found
