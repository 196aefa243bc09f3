"""The engine's JSON and ours, and what its refusals mean."""

import io
import tarfile
from typing import Any

import pytest

from k3dasync.docker import archive, pull, translate
from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    Conflict,
    EngineError,
    ImageUnavailable,
    NotFound,
    PortTaken,
    SubnetTaken,
)
from k3dasync.runtime import (
    ContainerEvent,
    ContainerSpec,
    EngineFacts,
    File,
    NetworkSpec,
    NetworkState,
    PortBinding,
    Status,
)

NETWORK_ID = "ab" * 32

# ---- create bodies


def test_a_container_s_create_body() -> None:
    """Everything a node needs is in the one call, in the engine's words."""
    spec = ContainerSpec(
        name="k3d-dev-server-0",
        image="rancher/k3s:v1",
        network=NETWORK_ID,
        address="10.1.0.2",
        aliases=("servers",),
        entrypoint=("/bin/k3d-entrypoint.sh",),
        command=("server", "--cluster-init"),
        env=("K3S_TOKEN=t",),
        labels={"app": "k3d"},
        binds=("k3d-dev-images:/k3d/images",),
        ports=(
            PortBinding(port="6443", host_ip="127.0.0.1", host_port=6550),
            PortBinding(port="80/tcp", host_ip="", host_port=8080),
            PortBinding(port="80/tcp", host_ip="", host_port=8081),
        ),
        extra_hosts=("host.k3d.internal:10.1.0.1",),
    )

    expected = {
        "Hostname": "k3d-dev-server-0",
        "Image": "rancher/k3s:v1",
        "Entrypoint": ["/bin/k3d-entrypoint.sh"],
        "Cmd": ["server", "--cluster-init"],
        "Env": ["K3S_TOKEN=t"],
        "Labels": {"app": "k3d"},
        "ExposedPorts": {"6443": {}, "80/tcp": {}},
        "HostConfig": {
            "Privileged": True,
            "Init": True,
            "UsernsMode": "host",
            "NetworkMode": "bridge",
            "Tmpfs": {"/run": "", "/var/run": ""},
            "RestartPolicy": {"Name": "unless-stopped"},
            "Binds": ["k3d-dev-images:/k3d/images"],
            "PortBindings": {
                "6443": [{"HostIp": "127.0.0.1", "HostPort": "6550"}],
                "80/tcp": [
                    {"HostIp": "", "HostPort": "8080"},
                    {"HostIp": "", "HostPort": "8081"},
                ],
            },
            "ExtraHosts": ["host.k3d.internal:10.1.0.1"],
        },
        "NetworkingConfig": {
            "EndpointsConfig": {
                NETWORK_ID: {"Aliases": ["servers"], "IPAMConfig": {"IPv4Address": "10.1.0.2"}}
            }
        },
    }
    assert expected == translate.container_body(spec)


def test_what_is_not_said_is_left_to_image_and_engine() -> None:
    """Without address, entrypoint and command there is no word of them."""
    body = translate.container_body(ContainerSpec(name="a", image="b", network="n"))

    assert not {"Entrypoint", "Cmd"} & body.keys()
    assert {"n": {"Aliases": []}} == body["NetworkingConfig"]["EndpointsConfig"]


def test_a_network_s_create_body() -> None:
    """Dynamic addresses come from the range, and names are not checked: ids tell them apart."""
    spec = NetworkSpec(
        name="k3d-dev",
        subnet="10.1.0.0/24",
        gateway="10.1.0.1",
        ip_range="10.1.0.128/25",
        labels={"app": "k3d"},
    )

    expected = {
        "Name": "k3d-dev",
        "Driver": "bridge",
        "IPAM": {
            "Driver": "default",
            "Config": [
                {"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1", "IPRange": "10.1.0.128/25"}
            ],
        },
        "Options": {"com.docker.network.bridge.enable_ip_masquerade": "true"},
        "Labels": {"app": "k3d"},
    }
    assert expected == translate.network_body(spec)


def test_filters_ask_for_all_labels() -> None:
    """Nothing asked for is an empty filter."""
    assert {} == translate.filters(None)
    expected = {"type": ["container"], "label": ["app=k3d", "k3d.cluster=dev"]}
    labels = {"app": "k3d", "k3d.cluster": "dev"}
    assert expected == translate.filters(labels, type="container")


# ---- answers


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"OperatingSystem": "Debian GNU/Linux 12 (bookworm)", "Name": "vm"}, False),
        ({"OperatingSystem": "Docker Desktop", "Name": "docker-desktop"}, True),
        ({"OperatingSystem": "Ubuntu 24.04 LTS", "Name": "colima"}, True),
        ({"OperatingSystem": "OrbStack", "Name": "orbstack"}, True),
        ({"OperatingSystem": "Alpine Linux v3.20", "Name": "lima-rancher-desktop"}, True),
    ],
)
def test_engines_in_a_virtual_machine(info: dict[str, str], expected: bool) -> None:
    """Their names give them away."""
    found = translate.facts(info, endpoint="unix:///x", host="", is_foreign_kernel=False)

    assert expected == found.is_desktop


def test_a_local_engine_on_a_mac_is_in_a_virtual_machine() -> None:
    """Whatever it is called; a remote one need not be."""
    local = translate.facts({}, endpoint="unix:///x", host="", is_foreign_kernel=True)
    remote = translate.facts({}, endpoint="tcp://e:1", host="e", is_foreign_kernel=True)

    assert (True, False) == (local.is_desktop, remote.is_desktop)


def test_facts_of_an_engine() -> None:
    """What a plan must know."""
    info = {
        "ID": "ABCD",
        "ServerVersion": "28.1.0",
        "OperatingSystem": "Debian",
        "Name": "vm",
        "CgroupVersion": "2",
        "NCPU": 8,
        "Architecture": "x86_64",
        "CgroupDriver": "systemd",
        "OSType": "linux",
        "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
    }
    expected = EngineFacts(
        id="ABCD",
        endpoint="tcp://e:2375",
        version="28.1.0",
        host="e",
        name="vm",
        cgroup_version="2",
        cpus=8,
        architecture="x86_64",
        cgroup_driver="systemd",
        filesystem="extfs",
        system="Debian",
        system_type="linux",
    )
    found = translate.facts(info, endpoint="tcp://e:2375", host="e", is_foreign_kernel=False)

    assert expected == found


def test_a_network_without_addresses() -> None:
    """The host's network, as the engine lists it."""
    found = {"Id": "1", "Name": "host", "Driver": "host", "IPAM": {"Config": None}, "Labels": None}

    expected = NetworkState(id="1", name="host", driver="host", subnets=(), gateway="", labels={})
    assert expected == translate.network(found)


def listed(**changes: Any) -> dict[str, Any]:
    return {
        "Id": "1",
        "Names": ["/k3d-dev-serverlb"],
        "Image": "nginx",
        "State": "running",
        "Created": 1700000000,
        "Labels": {"app": "k3d"},
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 6443, "PublicPort": 6550, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 6443, "PublicPort": 6550, "Type": "tcp"},
            {"PrivatePort": 80, "Type": "tcp"},
        ],
        "NetworkSettings": {"Networks": {"k3d-dev": {"IPAddress": "10.1.0.3"}}},
        **changes,
    }


def test_a_listed_container() -> None:
    """A port that is bound twice, for both families, is one port."""
    found = translate.listed_container(listed(), {})

    assert ("k3d-dev-serverlb", Status.RUNNING, 1.7e9) == (found.name, found.status, found.created)
    assert (6550,) == found.bound_ports
    assert {"k3d-dev": "10.1.0.3"} == found.addresses


def test_a_container_that_was_never_started() -> None:
    """The engine lists it under the id of its network, we by its name."""
    endpoint = {"IPAddress": "", "IPAMConfig": {"IPv4Address": "10.1.0.3"}}
    entry = listed(State="created", NetworkSettings={"Networks": {NETWORK_ID: endpoint}})

    found = translate.listed_container(entry, {NETWORK_ID: "k3d-dev"})

    assert {"k3d-dev": ""} == found.addresses


@pytest.mark.parametrize(
    ("said", "status"),
    [("dead", Status.DEAD), ("configured", Status.CREATED), ("stopped", Status.EXITED)],
)
def test_states_of_docker_and_podman(said: str, status: Status) -> None:
    """Words that only podman uses mean one of docker's."""
    assert status == translate.listed_container(listed(State=said), {}).status


def test_an_inspected_container() -> None:
    """Times have nine digits, and ports that are exposed only are not bound."""
    found = translate.inspected_container(
        {
            "Id": "1",
            "Name": "/k3d-dev-server-0",
            "Image": "sha256:00",
            "Created": "2026-01-02T03:04:05.123456789Z",
            "RestartCount": 2,
            "Config": {"Image": "k3s", "Env": ["A=b"], "Cmd": ["server"], "Labels": {}},
            "HostConfig": {
                "Binds": None,
                "PortBindings": {"6443": [{"HostIp": "127.0.0.1", "HostPort": "6550"}]},
            },
            "State": {
                "Status": "restarting",
                "ExitCode": 137,
                "OOMKilled": True,
                "StartedAt": "2026-01-02T03:04:06Z",
            },
            "NetworkSettings": {
                "Ports": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6550"}], "80/tcp": None}
            },
        },
        {},
    )

    assert ("k3d-dev-server-0", Status.RESTARTING) == (found.state.name, found.state.status)
    assert 1767323045 == int(found.state.created)
    assert (137, True, 2) == (found.exit_code, found.oom_killed, found.restarts)
    assert (PortBinding(port="6443", host_ip="127.0.0.1", host_port=6550),) == found.bindings
    assert (6550,) == found.state.bound_ports
    assert ((), ("server",), ("A=b",)) == (found.binds, found.command, found.env)


def test_an_event() -> None:
    """A death has an exit code, a start has none."""

    def event(action: str, **attributes: str) -> ContainerEvent:
        actor = {"ID": "1", "Attributes": {"name": "n", **attributes}}
        return translate.event({"Type": "container", "Action": action, "Actor": actor})

    assert ContainerEvent(action="die", name="n", exit_code=0) == event("die", exitCode="0")
    assert ContainerEvent(action="start", name="n") == event("start")


# ---- pulls


def layer(id: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"id": id, "status": status, "progressDetail": detail}


def test_a_pull_adds_up_its_layers() -> None:
    """The total is told when the last layer's size is known; what is unpacked does not count."""
    tally = pull.PullTally()
    told = [
        tally.feed(message)
        for message in (
            {"id": "v1", "status": "Pulling from rancher/k3s"},
            layer("a", "Pulling fs layer"),
            layer("b", "Pulling fs layer"),
            layer("c", "Already exists"),
            layer("a", "Downloading", 10, 100),
            layer("b", "Downloading", 5, 50),
            layer("a", "Download complete"),
            layer("a", "Extracting", 1, 100),
            layer("b", "Pull complete"),
            {"status": "Status: Downloaded newer image for rancher/k3s:v1"},
        )
    ]

    expected = [(0, None)] * 4 + [(10, None), (15, 150), (105, 150), (105, 150), (150, 150)]
    assert [*expected, (150, 150)] == told


def test_a_layer_whose_size_is_never_told() -> None:
    """It came in one piece, and does not keep the total unknown."""
    tally = pull.PullTally()
    for message in (
        layer("a", "Pulling fs layer"),
        layer("b", "Pulling fs layer"),
        layer("a", "Downloading", 100, 100),
    ):
        tally.feed(message)

    assert (100, 100) == tally.feed(layer("b", "Download complete"))


# ---- refusals

EXTERNAL = "driver failed programming external connectivity on endpoint x (ab): "


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (403, "Pool overlaps with other one on this address space", SubnetTaken),
        (
            400,
            "invalid pool request: Pool overlaps with other one on this address space",
            SubnetTaken,
        ),
        (
            403,
            (
                "cannot create network ab (br-ab): conflicts with network cd (br-cd): networks "
                "have overlapping IPv4"
            ),
            SubnetTaken,
        ),
        (500, "subnet 10.89.0.0/24 is already used on the host or by another config", SubnetTaken),
        (
            409,
            'Conflict. The container name "/a" is already in use by container "b". You have to',
            Conflict,
        ),
        (500, f"{EXTERNAL}Bind for 127.0.0.1:6550 failed: port is already allocated", PortTaken),
        (
            500,
            (
                f"{EXTERNAL}Error starting userland proxy: listen tcp4 127.0.0.1:6550: bind: "
                "address already in use"
            ),
            PortTaken,
        ),
        (
            500,
            (
                f"failed to set up container networking: {EXTERNAL}failed to bind host port for "
                "127.0.0.1:6550:10.1.0.2:6443/tcp: address already in use"
            ),
            PortTaken,
        ),
        (
            500,
            (
                "Ports are not available: exposing port TCP 0.0.0.0:6550 -> 127.0.0.1:0: listen "
                "tcp 0.0.0.0:6550: bind: address already in use"
            ),
            PortTaken,
        ),
        (403, "Address already in use", AddressTaken),
        (403, "failed to set up container networking: Address already in use", AddressTaken),
        (
            400,
            (
                "user specified IP address is supported only when connecting to networks with user "
                "configured subnets"
            ),
            AddressesUnsupported,
        ),
        (
            400,
            (
                "invalid endpoint settings:\nuser specified IP address is supported only when "
                "connecting to networks with user configured subnets"
            ),
            AddressesUnsupported,
        ),
        (404, "No such image: rancher/k3s:none", NotFound),
        (404, "No such container: a", NotFound),
        (403, "error while removing network: network n id ab has active endpoints", Conflict),
        (409, "remove v: volume is in use - [ab]", Conflict),
        (500, "unable to apply caps: operation not permitted", EngineError),
    ],
)
def test_refusals_by_the_engine_s_words(status: int, words: str, kind: type[EngineError]) -> None:
    """Of engines from 20.10 to today's, and podman's."""
    found = translate.engine_error("start", "container a", status, words)

    assert kind is type(found)
    assert f"cannot start container a: {' '.join(words.split())}" == str(found)


def test_words_that_come_as_json() -> None:
    """Some engines say so with a content type that nobody decodes."""
    found = translate.engine_error(
        "start", "container a", 409, '{"cause":"x","message":"in use"}\n'
    )

    assert "cannot start container a: in use" == str(found)


def test_no_words_at_all() -> None:
    """Then the status is what there is."""
    assert "cannot list networks: status 502" == str(
        translate.engine_error("list", "networks", 502, "")
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            "pull access denied for a, repository does not exist or may require 'docker login'",
            "login",
        ),
        ("unauthorized: authentication required", "docker login"),
        ("toomanyrequests: You have reached your pull rate limit.", "docker load"),
        ("manifest for a:none not found: manifest unknown", "name and tag"),
        ('Get "https://a/v2/": dial tcp: lookup a: no such host', "engine's way"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "way"),
    ],
)
def test_a_failed_pull_says_what_to_do(words: str, hint: str) -> None:
    """As far as the engine's words tell."""
    found = pull.pull_error("a:none", words)

    assert ImageUnavailable is type(found)
    assert str(found).startswith(f"cannot pull image a:none: {words}; ")
    assert hint in str(found).rpartition("; ")[2]


# ---- archives


def test_files_are_packed_for_root() -> None:
    """New folders come first and can be entered by everybody."""
    files = [
        File(path="/etc/confd/x", content=b"1"),
        File(path="/bin/y", content=b"22", mode=0o755),
    ]

    with tarfile.open(fileobj=io.BytesIO(archive.pack(files, ["/etc/confd"]))) as found:
        entries = [(one.name, one.mode, one.uid, one.isdir(), one.size) for one in found]

    expected = [
        ("etc/confd", 0o755, 0, True, 0),
        ("etc/confd/x", 0o644, 0, False, 1),
        ("bin/y", 0o755, 0, False, 2),
    ]
    assert expected == entries


def test_folders_to_check_are_those_an_image_may_lack() -> None:
    """Outer ones first, each once."""
    paths = ("/bin/x", "/etc/rancher/k3s/registries.yaml", "/etc/rancher/x", "/output/../a/x")

    expected = ["/a", "/etc/rancher", "/etc/rancher/k3s"]
    assert expected == list(
        archive.folders_to_check(File(path=path, content=b"") for path in paths)
    )


def packed(entry: tarfile.TarInfo | None = None, content: bytes = b"") -> tarfile.TarFile:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as writer:
        if entry is not None:
            writer.addfile(entry, io.BytesIO(content))
    whole.seek(0)
    return tarfile.open(fileobj=whole)


def test_a_single_file_a_link_a_folder_and_one_that_went() -> None:
    """Content, where to look instead, or an error that tells whether it is there."""
    file = tarfile.TarInfo("x")
    file.size = 2
    link = tarfile.TarInfo("x")
    link.type, link.linkname = tarfile.SYMTYPE, "../b/y"
    folder = tarfile.TarInfo("x")
    folder.type = tarfile.DIRTYPE

    assert (b"hi", "") == archive.single_file(packed(file, b"hi"), "/a/x", "file")
    assert (None, "/b/y") == archive.single_file(packed(link), "/a/x", "file")
    with pytest.raises(EngineError, match="it is no file"):
        archive.single_file(packed(folder), "/a/x", "file")
    with pytest.raises(NotFound, match="it was removed meanwhile"):
        archive.single_file(packed(), "/a/x", "file")
