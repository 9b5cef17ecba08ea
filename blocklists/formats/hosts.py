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


class Hosts:
    """The format ``hosts``."""

    name = "hosts"
    may_be_empty = False

    def detect(self, head: bytes) -> bool:
        lines = [line.split() for line in first_lines(head)[:8]]
        return bool(lines) and all(_address(w[0]) and len(w) > 1 for w in lines)

    def read(self, path: str, source: BinaryIO) -> Iterator[Record]:
        for place, text in data_lines(path, source):
            first, *names = text.partition("#")[0].split()
            address = _address(first)
            if address is None or not names:
                raise ListError(f"{path}, {place}, row: wants an address, then host names")
            for number, name in enumerate(names, 1):
                if _OWN.fullmatch(name):
                    yield Record(place, not_read="name of the machine itself")
                elif _is_nowhere(address):
                    yield Record(place, (Value("domain", name, f"name {number}"),))
                else:  # sends a name somewhere rather than nowhere
                    yield Record(place, not_read="name that is not sent to nowhere")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_nowhere(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether what is sent there goes nowhere: however written, no address or the machine's own."""
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or ipaddress.IPv6Address(int(address))  # without its zone
    return address.is_unspecified or address.is_loopback
