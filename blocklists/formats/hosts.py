"""Hosts files: ``0.0.0.0 name name... # remark``.

What lists are shipped as hosts files mean to block is read from the names; the machine's own
(``localhost`` and the like), which every hosts file has, are not entries.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import BinaryIO

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.formats.text_records import data_lines, first_lines

_OWN = re.compile(
    r"localhost(?:\.localdomain)?|local|broadcasthost|0\.0\.0\.0"
    r"|ip6-(?:localhost|loopback|localnet|mcastprefix|allnodes|allrouters|allhosts)",
    re.IGNORECASE,
)
_SINKS = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1"})  # noqa: S104  not bound to


class Hosts:
    """The format ``hosts``."""

    name = "hosts"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        lines = [line.split() for line in first_lines(head)[:8]]
        return bool(lines) and all(_is_address(w[0]) and len(w) > 1 for w in lines)

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            address, *names = text.partition("#")[0].split()
            if not _is_address(address) or not names:
                raise ListError(f"{path}, {place}, row: wants an address, then host names")
            for number, name in enumerate(names, 1):
                if _OWN.fullmatch(name):
                    yield Record(place, not_read="name of the machine itself")
                elif address.partition("%")[0] in _SINKS:
                    yield Record(place, (Value("domain", name, f"name {number}"),))
                else:  # sends a name somewhere rather than nowhere
                    yield Record(place, not_read="name that is not sent to nowhere")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
