"""Settings of the load balancer, as k3d's overrides have them: `settings.workerConnections=9`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from k3dasync.grammar.text import Text

_FIELDS = {
    "settings.workerConnections": "worker_connections",
    "settings.defaultProxyTimeout": "proxy_timeout",
}
_WHAT = f"{' or '.join(_FIELDS)}, '=' and a number"


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """How many connections each worker takes, and seconds until an idle one is closed: k3d's."""

    worker_connections: int = 1024
    proxy_timeout: int = 600

    def overrides(self) -> list[str]:
        """Return what makes these settings of the usual ones."""
        return [
            f"{name}={getattr(self, field)}"
            for name, field in _FIELDS.items()
            if getattr(self, field) != getattr(_USUAL, field)
        ]


_USUAL = BalancerSettings()


def parse(texts: Sequence[str]) -> BalancerSettings:
    """Read overrides, the later ones win. Raises InvalidSyntax if one is none."""
    settings = BalancerSettings()
    for text in texts:
        reader = Text(text)
        field = _FIELDS.get(reader.need("[A-Za-z.]+", _WHAT))
        if field is None:
            reader.at = 0
            reader.fail(_WHAT)
        reader.need("=", "'=' and a number")
        number = int(reader.need("[1-9][0-9]{0,8}", "a number of at least 1"))
        reader.end("the end")
        settings = replace(settings, **{field: number})
    return settings
