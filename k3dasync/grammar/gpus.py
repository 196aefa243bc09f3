"""GPUs, as docker has them: `all`, a number, or `KEY=VALUE{,KEY=VALUE}` in CSV."""

import csv
import io
from dataclasses import dataclass

from k3dasync.errors import InvalidSyntax

_KEYS = ("driver", "count", "device", "capabilities", "options")
_WHAT = f"all, a number, or one of {', '.join(_KEYS)} with '=' and its value"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """What a device driver is asked for; `count` -1 means all, 0 that devices are named."""

    count: int
    driver: str = ""
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ("gpu",)
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self == GpuRequest(count=self.count):
            return "all" if self.count < 0 else str(self.count)
        lists = {
            "device": self.devices,
            "capabilities": self.capabilities,
            "options": [f"{key}={value}" if value else key for key, value in self.options],
        }
        fields = [] if self.devices else [f"count={'all' if self.count < 0 else self.count}"]
        fields += [f"driver={self.driver}"] if self.driver else []
        fields += [f"{key}={','.join(values)}" for key, values in lists.items() if values]
        written = io.StringIO()
        csv.writer(written, lineterminator="").writerow(fields)
        return written.getvalue()


def parse(text: str) -> GpuRequest:
    """Read a request. Raises InvalidSyntax if it is none."""
    found: dict[str, str] = {}
    for field in _fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key not in _KEYS or not value or key in found:
            raise InvalidSyntax(text, max(text.find(field), 0), _WHAT)
        found[key] = value
    devices = _list(found.get("device", ""))
    if not found or (devices and "count" in found):
        raise InvalidSyntax(text, 0, _WHAT if not found else "a count or devices, not both")
    return GpuRequest(
        count=0 if devices else _count(text, found.get("count", "1")),
        driver=found.get("driver", ""),
        devices=devices,
        # The engine needs to be told that it is about GPUs, whatever else is wanted.
        capabilities=tuple(dict.fromkeys((*_list(found.get("capabilities", "")), "gpu"))),
        options=tuple(_option(one) for one in _list(found.get("options", ""))),
    )


def _fields(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        raise InvalidSyntax(text, 0, "CSV: a value with commas in quotes") from None
    return rows[0] if rows else []


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _option(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _count(text: str, word: str) -> int:
    if word == "all":
        return -1
    if not (word.isascii() and word.isdigit() and int(word[:9]) > 0):
        raise InvalidSyntax(text, max(text.find(word), 0), "all, or a number of GPUs")
    return int(word[:9])
