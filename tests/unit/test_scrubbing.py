"""Texts that go to strangers hold no secrets."""

import pytest

from k3dasync.scrubbing import Scrubber, passwords_in

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\nAwEHoU\n-----END EC PRIVATE KEY-----"
HASH = "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("joined with hunter22", "joined with ***"),
        ("?token=a%2Fb%20c%3Dd", "?token=***"),
        ("aHVudGVyMjI=", "***="),
        (f"K10{HASH}::server:whatever", "K10***"),
        ("client-key-data: LS0tLS1CRUdJTg==", "client-key-data: ***"),
        ('{"K3S_TOKEN": "abc"}', '{"K3S_TOKEN": "***"}'),
        ("--token=abc --node-name x", "--token=*** --node-name x"),
        ("postgres://user:pw@host/db", "postgres://user:***@host/db"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
        ("eyJhbGciOiJS.eyJpc3MiOiJr.SflKxwRJSMeK", "***"),
        ("a token is needed", "a token is needed"),
        ("tokens: 3 of 4", "tokens: 3 of 4"),
        ("level=info msg=fine", "level=info msg=fine"),
        (f"before {KEY}\nafter", "before ***\n***\n***\n***\nafter"),
        (KEY.replace("\n", "\\n"), "***"),
    ],
)
def test_what_is_masked(text: str, expected: str) -> None:
    """What is known, in any spelling, and what looks like a secret; all else stays."""
    assert expected == Scrubber(["hunter22", "a/b c=d"]).text(text)


def test_a_key_that_is_cut_off_ends_with_the_text() -> None:
    """Else it would hide the next one."""
    scrubber = Scrubber([])

    assert "***\n***" == scrubber.text("-----BEGIN RSA PRIVATE KEY-----\nMIIE")
    assert "fine" == scrubber.text("fine")


def test_passwords_of_addresses() -> None:
    """They may stand elsewhere alone."""
    texts = ["mysql://root:sesame@tcp(db:3306)/kine", "HTTP_PROXY=http://u:pr0xy@p:1", "http://a"]

    assert ["sesame", "pr0xy"] == list(passwords_in(texts))
