"""Giving a container its place back that another one was to take."""

from contextlib import suppress

from k3dasync.cluster import LABEL_EDIT
from k3dasync.errors import Conflict, NotFound
from k3dasync.runtime import Runtime
from k3dasync.undo import RestoreContainer


async def put_back(undo: RestoreContainer, runtime: Runtime, run: str) -> None:
    """Do it, as far as it is to be done; only what that *run* has made is removed.

    May be called twice, and at any point of a replacement.
    """
    try:
        await runtime.inspect_container(undo.kept)
    except NotFound:
        return
    made_by_run = {LABEL_EDIT: run}
    # It may hold the address and the host ports.
    await runtime.remove_container(undo.name, made_by_run)
    for place in undo.places:
        with suppress(Conflict):  # it has never left
            await runtime.connect_network(
                undo.kept, place.network, address=place.address, labels={}
            )
    try:
        await runtime.rename_container(undo.kept, undo.name)
    except Conflict:
        # The engine finishes a create whose caller is dead: it was there only after we looked.
        await runtime.remove_container(undo.name, made_by_run)
        await runtime.rename_container(undo.kept, undo.name)
    if undo.is_running:
        await runtime.start_container(undo.name)
