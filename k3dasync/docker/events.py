"""What an engine tells of its containers."""

from k3dasync.docker import translate
from k3dasync.docker.connection import Connection
from k3dasync.errors import EngineUnavailable
from k3dasync.jsonlines import JsonLines
from k3dasync.runtime import ContainerEvent


class Events:
    """The events of a stream; a connection that breaks ends it."""

    def __init__(self, connection: Connection, documents: JsonLines) -> None:
        self._connection, self._documents = connection, documents

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> ContainerEvent:
        try:
            with self._connection.mapped("follow", "container events"):
                return translate.event(await anext(self._documents))
        except EngineUnavailable as error:
            raise StopAsyncIteration from error
