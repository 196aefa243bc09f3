"""An engine that is moody: calls that are refused for a moment, or cut, are made again."""

import pytest

from k3dasync import events
from tests.integration.conftest import Cli
from tests.integration.proxy import Mood, MoodyProxy, proxy
from tests.integration.test_clusters import connect_often, everything_of
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]


@pytest.mark.parametrize("mood", list(Mood))
def test_a_create_on_a_moody_engine_succeeds(cli: Cli, own_name: str, mood: Mood) -> None:
    """Networks, containers, files and starts: each is there once, and each retry is told."""
    direct = cli.engine
    with proxy(direct, MoodyProxy) as between:
        between.mood = mood
        between.mooded = {
            b"/networks/create": 1,
            b"/volumes/create": 1,
            b"/containers/create": 3,
            b"/start HTTP": 2,
            b"PUT /": 2,
        }
        cli.engine = between.url
        created = cli.create(own_name, "--agents", "1")
        left = dict(between.mooded)
    cli.engine = direct
    assert 0 == created.code, created.err

    assert not any(left.values())
    log = cli.events(own_name)
    assert_laws(log)
    told = {event.task for event in log if isinstance(event, events.TaskRetry)}
    assert {f"network:k3d-{own_name}", f"volume:k3d-{own_name}-images"} <= told
    assert any(task.startswith("start:") for task in told)
    assert 100 == connect_often(cli, own_name)
    assert 0 == cli("delete", own_name).code
    assert [] == everything_of(own_name)


def test_a_delete_on_a_moody_engine_succeeds(cli: Cli, own_name: str) -> None:
    """What was removed without an answer counts as removed."""
    assert 0 == cli.create(own_name, "--agents", "1").code
    direct = cli.engine
    for mood in Mood:
        with proxy(direct, MoodyProxy) as between:
            between.mood, between.mooded = mood, {b"DELETE /": 2}
            cli.engine = between.url
            deleted = cli("delete", own_name)
        cli.engine = direct
        assert 0 == deleted.code, deleted.err
        assert [] == everything_of(own_name)
        assert 0 == cli.create(own_name).code
    assert 0 == cli("delete", own_name).code
