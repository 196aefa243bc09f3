"""The flags of create that name a datastore outside the cluster."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from k3dasync.commands._parameters import flag
from k3dasync.invalid import ConflictingFlags
from k3dasync.spec import Datastore


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DatastoreFlags:
    """Where k3s keeps its data, if not in the servers; None is not given."""

    datastore_endpoint: Annotated[
        str | None,
        flag(
            "--datastore-endpoint",
            env="K3D_DATASTORE_ENDPOINT",
            help="URL of a datastore outside the cluster, as k3s takes it; seen from the nodes.",
        ),
    ] = None
    datastore_cafile: Annotated[
        str | None,
        flag(
            "--datastore-cafile",
            env="K3D_DATASTORE_CAFILE",
            help="File of the authority that vouches for the datastore.",
        ),
    ] = None
    datastore_certfile: Annotated[
        str | None,
        flag(
            "--datastore-certfile",
            env="K3D_DATASTORE_CERTFILE",
            help="File of the certificate to show to the datastore.",
        ),
    ] = None
    datastore_keyfile: Annotated[
        str | None,
        flag(
            "--datastore-keyfile",
            env="K3D_DATASTORE_KEYFILE",
            help="File of that certificate's key.",
        ),
    ] = None

    def on(self, base: Datastore | None) -> Datastore | None:
        """Return *base* with what is given here on top; an empty text counts as not given.

        Raises SpecError if there is a file but no endpoint.
        """
        endpoint = self.datastore_endpoint or (base.endpoint if base else "")
        files = {
            name: getattr(self, f"datastore_{name}") or getattr(base, name, None)
            for name in ("cafile", "certfile", "keyfile")
        }
        if endpoint:
            return Datastore(endpoint=endpoint, **files)
        for name, path in files.items():
            if path:
                raise ConflictingFlags(f"--datastore-{name} needs a --datastore-endpoint")
        return None
