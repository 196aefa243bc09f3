"""Config files on the command line: create, plan, delete, and the commands of `config`."""

import io
import json
import stat
from pathlib import Path

import pytest

from k3dasync.cli import main
from k3dasync.config import loading
from k3dasync.config.template import TEMPLATE
from k3dasync.spec import ApiPort, ClusterSpec, WaitLevel

FILE = """\
apiVersion: k3d.io/v1alpha5
kind: Simple
metadata:
  name: filed
servers: 3
agents: 2
token: $SECRET
ports:
  - port: 8080:80
    nodeFilters: [loadbalancer]
env:
  - envVar: A=1
    nodeFilters: [all]
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a file, and rehearse in no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("K3DASYNC_FAKE_SCALE", "0")
    monkeypatch.setenv("SECRET", "hush")
    Path("c.yaml").write_text(FILE)


def viewed(capsys: pytest.CaptureFixture[str], *arguments: str) -> ClusterSpec:
    """Return what `config view` prints, read again."""
    capsys.readouterr()
    assert 0 == main(["config", "view", *arguments])
    return loading.interpret(capsys.readouterr().out, "view").spec


def test_a_file_makes_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """With the verb and with k3d's noun; the file is named."""
    for words in (["create", "-c"], ["cluster", "create", "--config"]):
        assert 0 == main([*words, "c.yaml", "--runtime", "fake"])
        err = capsys.readouterr().err
        assert "using config file c.yaml (k3d.io/v1alpha5)\n" in err
        assert "3 servers, 2 agents, load balancer" in err


def test_flags_win_over_variables_over_the_file_over_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists that belong to nodes get longer instead."""
    monkeypatch.setenv("K3D_AGENTS", "5")
    monkeypatch.setenv("K3D_SERVERS", "5")
    monkeypatch.setenv("K3D_CLI_ENV", "B=2@all")
    spec = viewed(capsys, "-c", "c.yaml", "-s", "1", "-p", "9090:90@server:0")

    assert ("filed", 1, 5, WaitLevel.NODES) == (spec.name, spec.servers, spec.agents, spec.wait)
    assert ["8080:80@loadbalancer", "9090:90@servers:0"] == list(map(str, spec.ports))
    assert ["A=1@all", "B=2@all"] == list(map(str, spec.env))
    assert "argued" == viewed(capsys, "argued", "-c", "c.yaml").name


def test_a_file_can_be_named_by_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For create, and for delete, which takes the name from it."""
    monkeypatch.setenv("K3D_CONFIG", "c.yaml")
    assert "filed" == viewed(capsys).name
    assert 0 == main(["delete", "--runtime", "fake"])
    assert "cluster filed: nothing to delete" in capsys.readouterr().err
    assert 0 == main(["delete", "other", "--runtime", "fake"])
    assert "cluster other: nothing to delete" in capsys.readouterr().err


def test_auto_and_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A usual name that is found here, or a pipe."""
    assert 2 == main(["plan", "create", "-c", "auto", "--runtime", "fake"])
    Path("c.yaml").rename("k3dasync.yaml")
    assert "filed" == viewed(capsys, "-c", "auto").name
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(FILE.encode())))
    assert "filed" == viewed(capsys, "-c", "-").name


def test_a_wrong_file_is_one_error_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is made, all that is wrong in it; of delete, too."""
    Path("c.yaml").write_text(FILE.replace("servers: 3", "servers: 0\nagent: 1"))
    for words in (["create"], ["plan", "create"], ["delete"]):
        assert 2 == main([*words, "-c", "c.yaml", "--runtime", "fake"])
        out, err = capsys.readouterr()
        assert ("", 3) == (out, len(err.splitlines())), err
        assert err.startswith("error: cannot use config file c.yaml: ")
        assert "c.yaml:5: servers: expected a whole number of at least 1" in err
        assert "c.yaml:6: agent: unknown field; did you mean agents?" in err


def test_what_does_not_fit_the_cluster_names_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A filter that means no node, a variable without one."""
    Path("c.yaml").write_text(FILE.replace("[all]", "[agent:7]"))
    assert 2 == main(["plan", "create", "-c", "c.yaml", "--runtime", "fake"])
    assert (
        "error: c.yaml:12: env[0].envVar 'agent:7': expected an index below 2"
        in capsys.readouterr().err
    )


def test_an_older_file_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, when it is used."""
    Path("c.yaml").write_text("apiVersion: k3d.io/v1alpha3\nkind: Simple\nname: old\n")
    assert 0 == main(["plan", "create", "-c", "c.yaml", "--runtime", "fake"])
    assert "warning: c.yaml is of the older version k3d.io/v1alpha3" in capsys.readouterr().err


def test_view_hides_secrets_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """As kubectl's does."""
    assert 0 == main(["config", "view", "-c", "c.yaml"])
    assert "hush" not in (shown := capsys.readouterr().out)
    assert "token: '***'" in shown
    assert "hush" == viewed(capsys, "-c", "c.yaml", "--raw").token


def test_init_writes_a_file_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Under k3d's name; it asks for the defaults."""
    assert 0 == main(["config", "init"])
    assert TEMPLATE == Path("k3d-default.yaml").read_text()
    assert ClusterSpec() == loading.interpret(TEMPLATE, "template").spec
    assert 1 == main(["config", "init"])
    assert "--force replaces it" in capsys.readouterr().err
    Path("k3d-default.yaml").write_text("x")
    assert 0 == main(["config", "create", "-f"])
    assert TEMPLATE == Path("k3d-default.yaml").read_text()
    capsys.readouterr()
    assert 0 == main(["config", "init", "-o", "-"])
    assert (TEMPLATE, "") == tuple(capsys.readouterr())
    assert 1 == main(["config", "init", "-o", "no/such/folder"])


def test_migrate_writes_the_newest_format(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To standard output or a file, private if it holds a secret; variables stay as they are."""
    old = "apiVersion: k3d.io/v1alpha3\nkind: Simple\nname: old\ntoken: $SECRET\n"
    new = "apiVersion: k3d.io/v1alpha5\nkind: Simple\nmetadata:\n  name: old\ntoken: $SECRET\n"
    Path("old.yaml").write_text(old)
    assert 0 == main(["config", "migrate", "old.yaml"])
    assert new == capsys.readouterr().out
    assert 0 == main(["config", "update", "old.yaml", "new.yaml"])
    assert new == Path("new.yaml").read_text()
    assert 0o600 == stat.S_IMODE(Path("new.yaml").stat().st_mode)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(old.encode())))
    assert 0 == main(["config", "migrate", "-", "-"])
    Path("old.yaml").write_text(old.replace("token", "tokem"))
    assert 2 == main(["config", "migrate", "old.yaml"])


def test_schemas_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The newest one unless another is asked for."""
    assert 0 == main(["config", "schema"])
    newest = json.loads(capsys.readouterr().out)
    assert 0 == main(["config", "schema", "--version", "v1alpha2"])
    oldest = json.loads(capsys.readouterr().out)

    assert (["k3d.io/v1alpha5"], ["k3d.io/v1alpha2"]) == (
        newest["properties"]["apiVersion"]["enum"],
        oldest["properties"]["apiVersion"]["enum"],
    )


def test_files_that_cannot_be_read_are_named_before_anything_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the place in the config file, and what the system says."""
    Path("folder").mkdir()
    for source, words in (
        ("nothing", "No such file or directory"),
        ("folder", "Is a directory"),
        ("/dev/null", "not a regular file"),
    ):
        entry = f"files:\n  - source: {source}\n    destination: /etc/x\n"
        Path("c.yaml").write_text(FILE + entry)
        assert 2 == main(["plan", "create", "-c", "c.yaml", "--runtime", "fake"])
        err = capsys.readouterr().err
        assert "error: c.yaml:15: files[0].source: cannot read " in err
        assert words in err


@pytest.mark.parametrize(
    ("api", "url", "bound"),
    [
        ("host: k3s.example\n  hostIP: 127.0.0.2", "https://k3s.example:", "host port 127.0.0.2:"),
        ("hostIP: 0.0.0.0", "https://0.0.0.0:", "host port 0.0.0.0:"),
        ("hostIP: '::1'\n  hostPort: random", "https://[::1]:", "host port ::1:"),
        ("host: 127.0.0.3", "https://127.0.0.3:", "host port 127.0.0.3:"),
        ("hostPort: '6550'", "https://127.0.0.1:6550", "host port 127.0.0.1:6550"),
    ],
)
def test_the_host_that_clients_are_told_may_differ_from_the_one_bound(
    api: str, url: str, bound: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is the other's default."""
    Path("c.yaml").write_text(f"{FILE}kubeAPI:\n  {api}\n")
    assert 0 == main(["plan", "create", "-c", "c.yaml", "--runtime", "fake"])
    out = capsys.readouterr().out

    assert f"wait until the API is ready at {url}" in out
    assert bound in out


def test_the_flag_replaces_all_that_a_file_says_of_the_api(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As with k3d."""
    Path("c.yaml").write_text(f"{FILE}kubeAPI:\n  host: k3s.example\n  hostIP: 127.0.0.2\n")

    assert ApiPort(port=6550) == viewed(capsys, "-c", "c.yaml", "--api-port", "6550").api_port


def test_a_delete_needs_no_file_that_the_config_file_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They may be gone by then; for a create they have to be there."""
    Path("c.yaml").write_text(f"{FILE}registries:\n  config: gone.yaml\n")
    assert 2 == main(["plan", "create", "-c", "c.yaml", "--runtime", "fake"])
    assert "c.yaml:15: registries.config: cannot read gone.yaml" in capsys.readouterr().err
    assert 0 == main(["delete", "-c", "c.yaml", "--runtime", "fake"])
