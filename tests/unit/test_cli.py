"""The command line: flags, exit codes, one-line errors, and where things are written."""

import json
from pathlib import Path

import pytest

from k3dasync import __version__
from k3dasync.cli import main
from k3dasync.forewords import with_name, with_wait_level
from k3dasync.images import K3S_VERSION


@pytest.fixture(autouse=True)
def fast_rehearsals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rehearsals take no time."""
    monkeypatch.setenv("K3DASYNC_FAKE_SCALE", "0")


def rehearse(*arguments: str) -> int:
    return main(["create", *arguments, "--runtime", "fake"])


def test_a_rehearsal_needs_no_engine_and_leaves_no_trace(
    own_directories: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command of the README: events on stdout, progress on stderr, no file touched."""
    assert 0 == rehearse("--servers", "3", "--agents", "10", "--events", "-")
    out, err = capfd.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]

    assert "run_done" == lines[-1]["event"]
    assert 14 == len(lines[-1]["outputs"]["nodes"])
    assert "rehearsed in" in err
    assert not (own_directories / ".kube").exists()
    assert [] == list(own_directories.rglob("*.jsonl"))


@pytest.mark.parametrize("words", [["create"], ["cluster", "create"]])
def test_both_spellings_are_one_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Verb or k3d's noun, the same flags."""
    assert 0 == main([*words, "dev", "-s", "2", "-a", "1", "--no-lb", "--runtime=fake"])
    assert "2 servers, 1 agent;" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["create", "--wait", "dev"], ["create", "--wait=nodes", "dev"]),
        (["create", "--wait=api"], ["create", "--wait=api"]),
        (["create", "--wait=quorum"], ["create", "--wait=quorum"]),
        (["create", "--", "--wait"], ["create", "--", "--wait"]),
    ],
)
def test_wait_alone_does_not_eat_the_name(given: list[str], expected: list[str]) -> None:
    """Its value stands only after an equals sign."""
    assert expected == with_wait_level(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["kubectl", "--", "get"], ["kubectl", "k3s-default", "--", "get"]),
        (["shell", "--runtime", "r", "--"], ["shell", "--runtime", "r", "k3s-default", "--"]),
        (["shell", "--runtime=r", "dev", "--", "a"], ["shell", "--runtime=r", "dev", "--", "a"]),
        (["kubectl", "dev", "get"], ["kubectl", "dev", "get"]),
        (["kubectl"], ["kubectl"]),
        (["stop", "--", "a"], ["stop", "--", "a"]),
    ],
)
def test_what_stands_behind_dashes_is_no_name(given: list[str], expected: list[str]) -> None:
    """Without one before them, the usual cluster is meant."""
    assert expected == with_name(given)


@pytest.mark.parametrize(
    "words",
    [
        ["start", ""],
        ["stop", ""],
        ["restart", "a", ""],
        ["pause", ""],
        ["resume", ""],
        ["delete", ""],
        ["edit", "", "--port-add", "1"],
        ["kubectl", "", "--", "get"],
        ["shell", ""],
        ["kubeconfig", "get", ""],
        ["scale", "", "--agents", "1"],
        ["logs", ""],
    ],
)
def test_an_empty_name_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before any engine is asked: it is a script's variable that is not set."""
    assert 2 == main([*words, "--runtime", "nosuch"])
    assert "the cluster name is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["cluster", "nonsense"],
        ["create", "--nonsense"],
        ["create", "a", "b"],
        ["create", "-s", "x"],
        ["create", "-s", "1.5"],
        ["create", "--wait", "api"],
        ["create", "--wait", "quorum"],
        ["create", "--wait", "all"],
        ["create", "--image", "UPPER:x"],
        ["create", "--image", "k3s:+v1"],
        ["create", "--timeout", "-5s"],
        ["create", "--subnet", "127.0.0.0/8"],
        ["create", "-s", "0"],
        ["create", "-a", "-1"],
        ["create", "Bad_Name"],
        ["create", "--wait=never"],
        ["create", "--timeout", "5"],
        ["create", "--api-port", "99999"],
        ["create", "--subnet", "10.0.0.0/30"],
        ["create", "--network", "host", "-a", "1"],
        ["create", "--network", "x", "--subnet", "10.0.0.0/24"],
        ["create", "--image", ""],
        ["create", "--runtime", "nonsense"],
        ["create", "--runtime", "no.such:thing"],
        ["create", "--runtime", "fake", "--events", "fd:99"],
        ["create", "--runtime", "fake", "--events", "/no/such/dir/x"],
        ["create", "--runtime", "fake", "--events"],
        ["create", "--runtime", "fake", "--events", ""],
        ["create", "--runtime", "os:path"],
        ["create", "--runtime", ":"],
        ["create", "--runtime", "x:"],
        ["create", "--api-port", "6550:6551"],
        ["create", "--api-port", "1.2.3:6550"],
        ["create", "--runtime", "os:getcwd"],
        ["delete", "a", "--all"],
        ["delete", "Bad_Name"],
        ["list", "-o", "xml"],
        ["plan", "create", "-o", "xml"],
        ["kubeconfig", "get"],
        ["kubeconfig", "get", "a", "--all"],
        ["kubeconfig", "merge", "-o", "x", "-d"],
        ["kubeconfig", "merge", "-o", ""],
        ["version", "-o", "xml"],
        ["list", "-o", ""],
        ["node", "list", "-o", "xml"],
        ["node", "nonsense"],
        ["rollback"],
        ["rollback", "Bad_Name"],
        ["version", "x"],
    ],
    ids=" ".join,
)
def test_what_the_user_wrote_wrong_is_one_line_and_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line on standard error, nothing on standard output."""
    assert 2 == main(arguments)
    out, err = capsys.readouterr()

    assert ("", 1) == (out, len(err.splitlines())), err
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["creat"], "UNKNOWN_COMMAND", "did you mean create?"),
        (["cluster", "creat"], "UNKNOWN_COMMAND", "did you mean create?"),
        (["create", "--agent", "1"], "UNKNOWN_FLAG", "did you mean --agents?"),
        (["--nope"], "UNKNOWN_FLAG", "unknown flag --nope"),
        (["create", "--agents"], "MISSING_VALUE", "--agents"),
        (["create", "-s", "x"], "INVALID_VALUE", "'x' is not a whole number"),
        (["create", "a", "b"], "UNEXPECTED_ARGUMENT", "'b'"),
        (["create", "-p", "80@nobody:0"], "INVALID_FILTER", "at character"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_ends_with_its_code(
    arguments: list[str], code: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In brackets, the same as in events; near words are offered."""
    assert 2 == main(arguments)
    err = capsys.readouterr().err.rstrip()

    assert words in err
    assert err.endswith(f"[{code}]")


@pytest.mark.parametrize(
    "arguments",
    [["kubeconfig", "get", "nope"], ["list", "nope"], ["kubeconfig", "write", "nope"]],
    ids=" ".join,
)
def test_an_unknown_cluster_is_an_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """In k3d's own words."""
    assert 1 == main([*arguments, "--runtime", "fake"])
    assert "no nodes found for given cluster nope" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["delete", "nope"], ["delete", "--all"], ["delete"]])
def test_nothing_to_delete_is_no_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As with k3d."""
    assert 0 == main([*arguments, "--runtime", "fake"])
    assert "no clusters found" in capsys.readouterr().err


def test_an_empty_list_is_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    """And without headers nothing at all; JSON is an empty array."""
    assert 0 == main(["list", "--runtime", "fake"])
    assert "NAME   SERVERS   AGENTS   LOADBALANCER\n" == capsys.readouterr().out
    assert 0 == main(["cluster", "ls", "--no-headers", "--runtime", "fake"])
    assert "" == capsys.readouterr().out
    assert 0 == main(["list", "-o", "JSON", "--runtime", "fake"])
    assert "[]\n" == capsys.readouterr().out


def test_variables_set_flags_and_flags_win(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """k3d's names; lists are words; an empty variable counts as not set."""
    for name, value in (
        ("K3D_SERVERS", "2"),
        ("K3D_AGENTS", "3"),
        ("K3D_TOKEN", ""),
        ("K3D_IMAGE", "k3s:mine"),
        ("K3D_CLI_API-PORT", "0.0.0.0:6600"),
        ("K3D_CLI_PORTS", "8080:80@server:0 8081:81@agent:0:direct"),
        ("K3D_OPTIONS_K3D_WAIT", "false"),
        ("K3D_OPTIONS_K3D_DISABLEIMAGEVOLUME", "true"),
    ):
        monkeypatch.setenv(name, value)
    assert 0 == main(["plan", "create", "dev", "--agents", "1", "--runtime", "fake"])
    plan = capsys.readouterr().out

    assert (2, 1) == (plan.count("\nstart:k3d-dev-server-"), plan.count("\nstart:k3d-dev-agent-"))
    assert "image:k3s:mine " in plan
    assert "host port 0.0.0.0:6600, *:8080" in plan
    assert "start:k3d-dev-agent-0" in plan
    assert "host port *:8081" in plan
    assert "ready:" not in plan
    assert "volume:" not in plan


def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was not a flag that was wrong."""
    monkeypatch.setenv("K3D_SERVERS", "many")
    assert 2 == rehearse()
    assert "K3D_SERVERS" in capsys.readouterr().err


def test_volumes_from_here_are_paths_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with docker's own command; names and shortcuts stay what they are."""
    from k3dasync.commands._create_flags import CreateFlags

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    asked = ("./a/../b:/x:ro@all", ".:/y", "~/c:k3s-storage", "name:/z", "/abs:/w", "/anonymous")
    found = [str(one) for one in CreateFlags(volume=asked).spec("dev").volumes]

    assert [
        f"{tmp_path}/b:/x:ro@all",
        f"{tmp_path}:/y",
        "/home/me/c:/var/lib/rancher/k3s/storage",
        "name:/z",
        "/abs:/w",
        "/anonymous",
    ] == found


def test_empty_texts_count_as_not_given() -> None:
    """As with k3d: scripts pass variables that may be empty."""
    assert 0 == rehearse("--network=", "--subnet", "", "--token=", "--api-port", "")


def test_an_empty_list_of_nodes_is_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    """Without headers nothing at all, not even an empty line."""
    assert 0 == main(["node", "list", "--runtime", "fake"])
    assert "NAME   ROLE   CLUSTER   STATUS\n" == capsys.readouterr().out
    assert 0 == main(["node", "ls", "--no-headers", "--runtime", "fake"])
    assert "" == capsys.readouterr().out
    assert 1 == main(["node", "list", "nope", "--runtime", "fake"])
    assert "no node is called nope" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["text", "json", "mermaid", "dot"])
def test_plan_prints_the_graph_and_nothing_else(
    how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard output, in each of its forms."""
    assert 0 == main(["plan", "create", "dev", "-a", "1", "-o", how, "--runtime", "fake"])
    out, err = capsys.readouterr()

    assert "start:k3d-dev-agent-0" in out
    assert "" == err


def test_events_go_to_a_file_that_is_private(tmp_path: Path) -> None:
    """One JSON line an event, mode 0600."""
    path = tmp_path / "events.jsonl"
    assert 0 == rehearse("--events", str(path))

    assert 0o600 == path.stat().st_mode & 0o777
    assert [0, 1] == [json.loads(line)["seq"] for line in path.read_text().splitlines()][:2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines for people, two keys for machines."""
    assert 0 == main(["version"])
    first, second = capsys.readouterr().out.splitlines()
    assert f"k3dasync version {__version__}" == first
    assert f"k3s version {K3S_VERSION} (default)" == second
    assert 0 == main(["version", "-o", "json"])
    assert {"k3dasync", "k3s"} == set(json.loads(capsys.readouterr().out))


def test_groups_without_a_word_print_their_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, as k3d does it."""
    for group in ([], ["cluster"], ["plan"], ["kubeconfig"]):
        assert 0 == main(group)
        assert "Commands:" in capsys.readouterr().out


def test_a_bad_scale_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is no number is named."""
    monkeypatch.setenv("K3DASYNC_FAKE_SCALE", "fast")
    assert 2 == rehearse()
    assert "K3DASYNC_FAKE_SCALE" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["create"], ["cluster", "list"]], ids=" ".join)
def test_help_before_a_command_is_help_behind_it(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As with k3d."""
    assert 0 == main(["help", *words])
    before = capsys.readouterr().out
    assert 0 == main([*words, "--help"])

    assert capsys.readouterr().out == before
    assert "Usage: " in before


@pytest.mark.parametrize("group", ["cluster", "node", "kubeconfig", "image", "config", "plan"])
def test_a_group_knows_its_words(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help for none and for `-h`, on standard output; an unknown one is an error that names it."""
    assert 0 == main([group])
    assert 0 == main([group, "-h"])
    out, err = capsys.readouterr()
    assert (2, "") == (out.count(f"Usage: k3dasync {group} "), err)
    assert 2 == main([group, "nonsense"])
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("error: unknown command 'nonsense'")


def test_the_root_prints_its_usage_and_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments, with `-h`, with `help`; `--version` is one line."""
    for arguments in ([], ["-h"], ["--help"], ["help"]):
        assert 0 == main(arguments)
        assert capsys.readouterr().out.startswith("Usage: k3dasync COMMAND")
    assert 0 == main(["--version"])
    assert f"{__version__}\n" == capsys.readouterr().out
    assert 2 == main(["help", "nonsense"])
    assert "[UNKNOWN_COMMAND]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "count"), [("--no-lb", 0), ("--no-lb=true", 0), ("--no-lb=false", 1)]
)
def test_booleans_take_a_value_behind_an_equals_sign(
    flag: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with k3d."""
    assert 0 == main(["plan", "create", "dev", flag, "--runtime", "fake"])
    assert count == capsys.readouterr().out.count("\nstart:k3d-dev-serverlb")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "--agents"], "--agents needs a value; see: k3dasync create --help"),
        (["create", "-p"], "-p needs a value; see: k3dasync create --help"),
        (["rollback"], "NAME needs a value; see: k3dasync rollback --help"),
        (["create", "-s", "x"], "-s: 'x' is not a whole number; see: k3dasync create --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_values_are_asked_for_in_our_words(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In small letters, the flag as it was written."""
    assert 2 == main(arguments)
    assert f"error: {words} [" in capsys.readouterr().err


def test_a_flag_that_is_given_again_replaces_what_stands_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So scripts add to the command lines of others, as with k3d."""
    asked = ["plan", "create", "dev", "--runtime", "fake", "-s", "1", "--servers", "2"]
    assert 0 == main(asked)
    assert "container:k3d-dev-server-1" in capsys.readouterr().out
