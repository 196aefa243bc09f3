"""What a config file asks for: YAML, variables, every field, older versions."""

import io
from pathlib import Path

import pytest

from k3dasync.config import loading, source, tree
from k3dasync.config.expansion import expand
from k3dasync.config.source import read
from k3dasync.errors import ConfigInvalid, SpecError
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.registries import RegistryReference
from k3dasync.grammar.words import HostAlias, Ulimit
from k3dasync.spec import (
    ApiPort,
    ClusterSpec,
    Datastore,
    RegistryProxy,
    RegistrySpec,
    WaitLevel,
)

HEAD = "apiVersion: k3d.io/v1alpha5\nkind: Simple\n"
FULL = """\
apiVersion: k3d.io/v1alpha5
kind: Simple
metadata:
  name: full
servers: 3
agents: 2
kubeAPI:
  host: k3s.example
  hostIP: 127.0.0.2
  hostPort: "6550"
image: k3s:mine
network: mine
token: secret
volumes:
  - volume: ./data:/data
  - volume: cache:/cache
    nodeFilters: [server:0, "agents[*]"]
ports:
  - port: 8080:53
    nodeFilters: [loadbalancer]
env:
  - envVar: MAIL=a@b
    nodeFilters: [all]
files:
  - source: |
      kind: Namespace
    destination: k3s-manifests-custom/ns.yaml
    description: a namespace
    nodeFilters: [server:0]
  - source: sub/../file
    destination: /etc//file
  - source: /abs
    destination: k3s-registry-config
registries:
  create:
    name: registry.localhost
    host: 0.0.0.0
    hostPort: "5000"
    image: registry:2
    proxy:
      remoteURL: https://registry-1.docker.io
      username: me
      password: hush
    volumes: [./cache:/var/lib/registry]
    enforcePortMatch: true
  use: [k3d-other:5000]
  config: |
    mirrors: {}
hostAliases:
  - ip: "::1"
    hostnames: [a.example, b]
datastore:
  endpoint: https://etcd.example:2379
  cafile: ca.pem
options:
  k3d:
    wait: api
    timeout: 1m30s
    disableLoadbalancer: true
    disableImageVolume: true
    disableRollback: true
    loadbalancer:
      configOverrides: [settings.workerConnections=2048]
  k3s:
    extraArgs:
      - arg: --disable=traefik
        nodeFilters: [server:*]
    nodeLabels:
      - label: tier=front
        nodeFilters: [agent:0]
  kubeconfig:
    updateDefaultKubeconfig: false
    switchCurrentContext: false
  runtime:
    gpuRequest: all
    serversMemory: 1g
    agentsMemory: 512m
    hostPidMode: true
    labels:
      - label: team=x
        nodeFilters: [all]
    ulimits:
      - {name: nofile, soft: 1024, hard: 2048}
"""


def spec_of(text: str, folder: str = "/from") -> ClusterSpec:
    return loading.interpret(text, "c.yaml", folder=folder).spec


def test_every_field_is_read() -> None:
    """A file with all of them; paths start from its folder."""
    spec = spec_of(FULL)

    assert ("full", 3, 2, "k3s:mine", "mine") == (
        *(spec.name, spec.servers, spec.agents, spec.image, spec.network),
    )
    assert ApiPort(host="k3s.example", host_ip="127.0.0.2", port=6550) == spec.api_port
    assert ("secret", WaitLevel.API, 90.0) == (spec.token, spec.wait, spec.timeout)
    assert (False, False, False) == (spec.loadbalancer, spec.image_volume, spec.rollback)
    assert BalancerSettings(worker_connections=2048) == spec.balancer
    assert ["/from/data:/data", "cache:/cache@servers:0;agents[*]"] == list(map(str, spec.volumes))
    assert Datastore(endpoint="https://etcd.example:2379", cafile="/from/ca.pem") == spec.datastore
    assert ["8080:53@loadbalancer"] == list(map(str, spec.ports))
    assert ["MAIL=a@b"] == [one.value for one in spec.env]
    assert ["--disable=traefik@servers:*"] == list(map(str, spec.k3s_args))
    assert ["tier=front@agents:0"] == list(map(str, spec.node_labels))
    assert ["team=x@all"] == list(map(str, spec.runtime_labels))
    assert (False, False) == (spec.kubeconfig_update_default, spec.kubeconfig_switch_context)
    assert (GpuRequest(count=-1), True) == (spec.gpus, spec.host_pid_mode)
    assert (2**30, 2**29) == (spec.servers_memory, spec.agents_memory)
    assert (Ulimit("nofile", 1024, 2048),) == spec.ulimits
    assert (HostAlias("::1", ("a.example", "b")),) == spec.host_aliases


def test_files_are_read() -> None:
    """Text as it is, paths from the file's folder, shortcuts as first element."""
    inline, relative, absolute = spec_of(FULL).files

    assert (
        "/var/lib/rancher/k3s/server/manifests/custom/ns.yaml@servers:0",
        "kind: Namespace\n",
        "a namespace",
    ) == (str(inline), inline.source, inline.description)
    assert ("/etc/file", "/from/file", "c.yaml:30: files[1].source") == (
        *(str(relative), relative.source, relative.origin),
    )
    assert ("/etc/rancher/k3s/registries.yaml", "/abs") == (str(absolute), absolute.source)


def test_registries_are_read() -> None:
    """The one to be made, the ones that are there, and the text of a registries.yaml."""
    spec = spec_of(FULL)

    assert (
        RegistrySpec(
            name="registry.localhost",
            exposure=Exposure("0.0.0.0", 5000),
            image="registry:2",
            proxy=RegistryProxy("https://registry-1.docker.io", "me", "hush"),
            volumes=("/from/cache:/var/lib/registry",),
            enforce_port_match=True,
        )
        == spec.registry
    )
    assert ((RegistryReference("k3d-other", "", (5000,)),), "mirrors: {}\n") == (
        *(spec.registries, spec.registry_config),
    )


@pytest.mark.parametrize("create", ["{}", "{proxy: {remoteURL: 'https://a'}}", "{volumes: [/a]}"])
def test_a_registry_without_name_or_place_is_none(create: str) -> None:
    """As with k3d."""
    assert None is spec_of(f"{HEAD}registries: {{create: {create}}}").registry


def test_an_empty_file_asks_for_what_no_flag_does() -> None:
    """The defaults are the same; empty texts and filters are as if they were not there."""
    assert ClusterSpec() == spec_of(HEAD)
    assert ClusterSpec() == spec_of(f"{HEAD}network: ''\ntoken: ''\nsubnet: auto\nimage: ''\n")
    (port,) = spec_of(f"{HEAD}ports:\n  - port: '80'\n    nodeFilters: ['']\n").ports
    assert () == port.filters


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", None), ("90s", 90.0), ("5000000000", 5.0), ("0", None)]
)
def test_timeouts_are_durations_or_nanoseconds(text: str, seconds: float | None) -> None:
    """Go has both."""
    assert seconds == spec_of(f"{HEAD}options: {{k3d: {{timeout: {text}}}}}").timeout


@pytest.mark.parametrize(
    ("text", "level"), [("true", "nodes"), ("false", "none"), ("api", "api"), ("nodes", "nodes")]
)
def test_wait_is_a_boolean_or_a_level(text: str, level: str) -> None:
    """k3d's form and ours."""
    assert WaitLevel(level) is spec_of(f"{HEAD}options: {{k3d: {{wait: {text}}}}}").wait


def test_field_names_may_be_in_any_case() -> None:
    """As k3d's reader takes them."""
    spec = spec_of(f"{HEAD}SERVERS: 3\nOptions: {{k3d: {{disableloadbalancer: true}}}}\n")

    assert (3, False) == (spec.servers, spec.loadbalancer)


def test_unknown_fields_are_let_go_where_k3d_does_with_a_warning() -> None:
    """In options.runtime, hostAliases and registries; what was meant is guessed."""
    text = f"{HEAD}options:\n  runtime:\n    labeles: 5\nhostAliases:\n  - ip: 10.0.0.1\n"
    text += "    hostnames: [a]\n    note: x\n"

    assert (
        "c.yaml:5: options.runtime.labeles: unknown field, ignored; did you mean labels?",
        "c.yaml:9: hostAliases[0].note: unknown field, ignored; expected one of ip, hostnames",
    ) == loading.interpret(text, "c.yaml").warnings


def test_only_the_first_document_counts_with_a_warning() -> None:
    """As with k3d, which does not say so."""
    loaded = loading.interpret(f"---\n{HEAD}servers: 2\n---\nservers: 3\n", "c.yaml")

    assert (2, ("c.yaml: only its first document is read",)) == (
        loaded.spec.servers,
        loaded.warnings,
    )


def test_origins_name_file_line_and_path() -> None:
    """For whatever is found out later."""
    spec = spec_of(FULL)

    assert ["c.yaml:19: ports[0].port"] == [one.origin for one in spec.ports]
    assert ["c.yaml:66: options.k3s.extraArgs[0].arg"] == [one.origin for one in spec.k3s_args]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080:53", "8080:53"),
        ("22:22", "22:22"),
        ("no", "no"),
        ("on", "on"),
        ("2001-01-01", "2001-01-01"),
        ("1_000", "1_000"),
        ("0644", 644),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("True", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("<<", "<<"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """Where YAML 1.1 has numbers of base 60, dates and more words for booleans."""
    found = tree.parse(f"- {text}", "c.yaml")

    assert ([value], (), [type(value)]) == (
        *(found.value, found.violations, [type(one) for one in found.value]),
    )


def test_anchors_and_merges() -> None:
    """What is merged gives way to what is there, and earlier merges win."""
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\nd: *a\n"

    assert {
        "a": {"x": 1, "y": 1},
        "b": {"y": 2, "z": 2},
        "c": {"z": 3, "x": 1, "y": 1},
        "d": {"x": 1, "y": 1},
    } == tree.parse(text, "c.yaml").value


ENDLESS = {
    "itself": "a: &a [*a]",
    "merged into itself": "a: &a\n  <<: [*a, *a]",
    "billions": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "billions of merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
    "deep": "[" * 500 + "]" * 500,
    "deeper": "[" * 99999,
    "digits": f"a: {'9' * 5000}",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_document_without_end_is_refused(text: str) -> None:
    """Soon, and with a line that says so."""
    assert refusals(text)


def refusals(text: str) -> tuple[str, ...]:
    try:
        return tuple(one.text for one in tree.parse(text, "c.yaml").violations)
    except ConfigInvalid as error:
        return error.violations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a $A b ${A} c", "a 1 b 1 c"),
        ("$B ${B} $_x1y", "  "),
        ("$$A $$ ${$}", "$A $ "),
        ("$", "$"),
        ("$( $. a$", "$( $. a$"),
        ("$1a $@b $-c ${*}", "a b c "),
        ("${} ${A", " A"),
        ("${A b} é$Aé", " é1é"),
    ],
)
def test_variables_are_gos(text: str, expected: str) -> None:
    """What os.ExpandEnv makes of it, but for the doubled dollar."""
    assert expected == expand(text, {"A": "1", "*": "", "A b": ""})


def test_variables_win_over_the_texts_of_a_file() -> None:
    """Those that the file has, as with k3d."""
    text = f"{HEAD}metadata: {{name: a}}\nkubeAPI: {{hostPort: '1'}}\n"
    environ = {
        "K3D_METADATA_NAME": "b",
        "K3D_KUBEAPI_HOSTPORT": "6550",
        "K3D_KUBEAPI_HOST": "absent",
        "K3D_APIVERSION": "x",
    }
    spec = loading.interpret(text, "c.yaml", environ=environ).spec

    assert ("b", ApiPort(port=6550)) == (spec.name, spec.api_port)


def test_auto_finds_the_usual_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours before k3d's; neither is an error that says what to do."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"k3dasync.yaml nor k3d-default.yaml .* config init"):
        read("auto")
    Path("k3d-default.yaml").write_text("second")
    assert ("second", "k3d-default.yaml", str(tmp_path)) == (
        *(read("auto").text, read("auto").origin, read("auto").folder),
    )
    Path("k3dasync.yaml").write_text("\ufefffirst")
    assert "first" == read("auto").text


def test_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths start from the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"text")))

    assert ("text", "standard input", str(tmp_path)) == (
        *((found := read("-")).text, found.origin, found.folder),
    )


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere, a folder, another encoding, a device that never ends."""
    (tmp_path / "latin").write_bytes(b"a: b\nc: \xe9\n")
    for path, words in (
        (tmp_path / "nothing", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "latin", "latin:2: not UTF-8"),
        (Path("/dev/zero"), f"more than {source.LARGEST >> 20} MiB"),
    ):
        with pytest.raises(SpecError, match=words):
            read(str(path))
