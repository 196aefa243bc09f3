"""What is shown in place of secrets."""

import pytest

from k3dasync import masks


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("K3S_TOKEN=hush", "K3S_TOKEN=***"),
        ("K3S_AGENT_TOKEN=hush", "K3S_AGENT_TOKEN=***"),
        ("REGISTRY_PROXY_PASSWORD=hush", "REGISTRY_PROXY_PASSWORD=***"),
        ("AWS_SECRET_ACCESS_KEY=hush", "AWS_SECRET_ACCESS_KEY=***"),
        ("my_api_key=hush=", "my_api_key=***"),
        ("K3S_TOKEN_FILE=/run/token", "K3S_TOKEN_FILE=/run/token"),
        ("TOKEN=", "TOKEN="),
        ("TOKEN", "TOKEN"),
        ("MONKEY=see", "MONKEY=see"),
        ("HTTP_PROXY=http://me:hush@proxy:3128", "HTTP_PROXY=http://me:***@proxy:3128"),
        ("K3S_URL=https://k3d-dev-server-0:6443", "K3S_URL=https://k3d-dev-server-0:6443"),
    ],
)
def test_a_variable_keeps_its_name(entry: str, expected: str) -> None:
    """What its name calls a secret is masked, and a password inside an address."""
    assert expected == masks.variable(entry)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://me:hush@db:5432/k3s", "postgres://me:***@db:5432/k3s"),
        ("mysql://me:hu@sh@tcp(db:3306)/k3s", "mysql://me:***@tcp(db:3306)/k3s"),
        (
            "postgres://db/k3s?user=me&password=hush&x=1",
            "postgres://db/k3s?user=me&password=***&x=1",
        ),
        ("https://etcd-0:2379,https://etcd-1:2379", "https://etcd-0:2379,https://etcd-1:2379"),
        ("https://me@host/path", "https://me@host/path"),
        ("me:hush@host is no address", "me:hush@host is no address"),
    ],
)
def test_a_password_in_an_address(text: str, expected: str) -> None:
    """The user's name stays, what follows it does not."""
    assert expected == masks.address(text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["server", "--token", "hush", "--disable=x"], ["server", "--token", "***", "--disable=x"]),
        (["server", "--agent-token=hush"], ["server", "--agent-token=***"]),
        (["server", "-t", "hush"], ["server", "-t", "***"]),
        (["server", "--token", "--cluster-init"], ["server", "--token", "--cluster-init"]),
        (["server", "--etcd-s3-secret-key", "hush"], ["server", "--etcd-s3-secret-key", "***"]),
        (
            ["server", "--datastore-endpoint", "mysql://me:hush@tcp(db)/k3s"],
            ["server", "--datastore-endpoint", "***"],
        ),
        (
            ["server", "--datastore-endpoint=mysql://me:hush@tcp(db)/k3s"],
            ["server", "--datastore-endpoint=***"],
        ),
        (["agent", "--node-label", "token=x"], ["agent", "--node-label", "token=x"]),
    ],
)
def test_a_command_keeps_its_flags(words: list[str], expected: list[str]) -> None:
    """The values of secret flags are masked in both of their forms."""
    assert expected == masks.command(words)


def test_what_is_asked_for_by_name_is_shown() -> None:
    """The tokens of a cluster, and nothing else."""
    assert "K3S_TOKEN=seen" == masks.variable("K3S_TOKEN=seen", shown=masks.TOKENS)
    assert "DB_PASSWORD=***" == masks.variable("DB_PASSWORD=hush", shown=masks.TOKENS)
    assert ["server", "--token", "seen"] == masks.command(
        ["server", "--token", "seen"], shown=masks.TOKENS
    )
