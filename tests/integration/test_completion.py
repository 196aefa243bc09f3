"""Names that a real engine knows, as shells are told them."""

import pytest

from tests.engine import NODE_IMAGE
from tests.integration.conftest import Cli
from tests.integration.docker_api import DockerApi

pytestmark = pytest.mark.engine


def test_names_are_those_of_the_engine(cli: Cli, own_name: str, api: DockerApi) -> None:
    """Of clusters, nodes and registries; those that are given are not offered again."""
    made = []
    for role in ("server", "registry"):
        name = f"k3d-{own_name}-{role}"
        labels = {"app": "k3d", "k3d.role": role, "k3d.cluster": own_name}
        body = {"Image": NODE_IMAGE, "Labels": labels}
        made.append(api.post("containers/create", body, name=name)["Id"])

    def offered(*words: str) -> list[str]:
        done = cli("__complete", "zsh", *words)
        assert (0, "") == (done.code, done.err)
        return [line.partition("\t")[0] for line in done.out.splitlines() if own_name in line]

    try:
        assert [own_name] == offered("delete", own_name[:4])
        assert [] == offered("delete", own_name, own_name[:4])
        assert [f"k3d-{own_name}-registry"] == offered("create", "--registry-use", "k3d-")
        assert [f"k3d-{own_name}-registry", f"k3d-{own_name}-server"] == offered("node", "list", "")
    finally:
        for one in made:
            api.delete(f"containers/{one}", force="true", v="true")
