"""Which sources a text may hold: several, and some that not everybody reads alike.

**Several.** A source begins where a scheme and ``//`` follow white space, a control character, a
comma, a semicolon or a bar, with opening quotes and brackets between or not. A URL in the path or
query of another follows none of them, and is a part of it. Each counts, without what of these
stands around it (an IPv6 address keeps its brackets). So does each with it, and the whole text,
where that is a source too: URLs may hold what could as well divide two.

**Not read alike.** A backslash before an ``@`` ends the host to browsers (and to `parse_source`);
to RFC 3986, and so to curl and wget, it is a part of the credentials, and the host comes after.
Sharp s, final sigma and the two joiners are letters of a name to browsers; to IDNA 2003, and so to
Python's own library, they are ``ss``, a sigma and nothing. Both hosts count.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import cast
from urllib.parse import unquote

from ingestgate.blocklists.sources import AUTHORITY, BadSource, parse_source

MAX_SOURCES = 1000  # in one text
# White space, controls, and what has no width, by Unicode; commas, semicolons and bars.
_DIVIDING = (
    "".join(
        chr(one)
        for first, last in (
            *((0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x1680, 0x1680), (0x180E, 0x180E)),
            *((0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000)),
            (0xFEFF, 0xFEFF),
        )
        for one in range(first, last + 1)
    )
    + ",;|\u060c\u061b\u3001\uff0c\uff1b\uff5c\uff64"
)
_OPENING = "\"'`(<[{\u2018\u201a\u201c\u201e\u2039\u00ab\u3008\u300a\u300c\u300e\u3010\uff08\uff3b"
_CLOSING = "\"'`)>]}\u2019\u201d\u203a\u00bb\u3009\u300b\u300d\u300f\u3011\uff09\uff3d"
_AROUND = _DIVIDING + _OPENING + _CLOSING
_BETWEEN = f"[{_DIVIDING}]"
_OPENINGS = "[" + _OPENING.replace("[", r"\[") + "]*"
#: Whether there are several sources in a text (`split_sources`), for RE2 too.
NEXT_SOURCE = _BETWEEN + _OPENINGS + AUTHORITY
# A run of what is between sources is looked at once, from its first character on.
_NEXT_SOURCE = re.compile(f"(?<!{_BETWEEN}){_BETWEEN}++{_OPENINGS}+(?={AUTHORITY})")
_CREDENTIALS = r"\\[^/?#]*@"  # what to browsers would be a path
# Small and capital sharp s, final sigma, the joiners, and all of them percent-encoded.
_DEVIATIONS = (
    "[\u00df\u1e9e\u03c2\u200c\u200d]|(?i:%c3%9f|%e1%ba%9e|%cf%82|%e2%80%8[cd])"  # UTS 46, 7
)
#: Whether `possible_sources` may return more than the text itself, for RE2 too.
SEVERAL = f"{NEXT_SOURCE}|{_CREDENTIALS}|{_DEVIATIONS}"
_DEVIATING = re.compile(_DEVIATIONS)
# What comes before an authority as RFC 3986 has it, with or without a scheme; it; the rest.
_AUTHORITY = re.compile(r"((?:[^:/\\?#]*:)?[/\\\t\r\n]*)([^/?#]*)(.*)", re.DOTALL)


def split_sources(text: str) -> list[str]:
    """Returns the parts of a text that are a source each; one, if nothing divides it.

    Raises:
        BadSource: There are more than `MAX_SOURCES`.
    """
    if len(parts := _NEXT_SOURCE.split(text, MAX_SOURCES)) > MAX_SOURCES:
        raise BadSource(f"more than {MAX_SOURCES} sources in one")
    return parts


def possible_sources(text: str) -> list[str]:
    """Returns all that may be a source in a text: it itself, or its parts if there are several.

    Sources that others than browsers read in another way come once for each reading.

    Raises:
        BadSource: There are more than `MAX_SOURCES`.
    """
    parts = split_sources(text)
    read, perhaps = [text], []
    if len(parts) > 1:
        read, perhaps = list(map(_without_around, parts)), [text, *parts]
    others = [other for one in (*read, *perhaps) for other in _other_readings(one)]
    return list(dict.fromkeys([*read, *filter(_is_source, (*perhaps, *others))]))


def _without_around(part: str) -> str:
    """Returns a part without what stands around it, unless it is a source only with that."""
    inside = part.strip(_AROUND)
    if not inside or _is_source(inside):
        return inside
    with_more = [one for one in (f"{inside}]", part) if one in part]  # an IPv6 address, say
    return next(filter(_is_source, with_more), inside)


def _other_readings(text: str) -> Iterator[str]:
    """Yields a source so that `parse_source` reads it as others read the text."""
    before, authority, after = cast(re.Match[str], _AUTHORITY.fullmatch(text)).groups()
    credentials, at, host = authority.rpartition("@")
    escaped = credentials.replace("\\", "%5C") + at + host
    for one in dict.fromkeys((authority, escaped)):
        name, backslash, path = one.partition("\\")
        for start in (before + name, _DEVIATING.sub(_transitional, before + name)):
            if (other := start + backslash + path + after) != text:
                yield other


def _transitional(character: re.Match[str]) -> str:
    """Returns what IDNA 2003 makes of a character that may be percent-encoded."""
    return {"\u03c2": "\u03c3", "\u200c": "", "\u200d": ""}.get(unquote(character[0]), "ss")


def _is_source(text: str) -> bool:
    with suppress(BadSource):
        parse_source(text)
        return True
    return False
