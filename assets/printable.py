"""Text for people: names as a terminal may show them, and numbers of things.

Whoever fills a landing zone chooses what names hold.
"""

import json


def printable(text: str) -> str:
    r"""Returns text in which nothing is left that a terminal obeys, or that cannot be seen.

    Control characters, marks that turn the direction of writing, blanks other than the ordinary
    one, and what is not Unicode become escapes as in Python (``\x1b``, ``\u202e``).
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def printable_json(value: object, *, indent: int | None = None) -> str:
    r"""Returns a value as JSON that a terminal may show.

    What `printable` makes an escape is one of JSON's (``\u009b``), so a reader gets the same value.

    Args:
        value: What `json.dumps` takes.
        indent: Blanks per level, each item on a line; else all is one line.

    Raises:
        TypeError: It is nothing that JSON has.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # A line break is one of indent's: those of the value are escapes already.
    return "".join(
        one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text
    )


def counted(count: int, thing: str, several: str = "") -> str:
    """Returns how many of a thing there are: ``1 shard``, ``1,200 shards``.

    Args:
        count: How many.
        thing: What one is called.
        several: What several are called, if not as one with an s.
    """
    return f"{count:,} {thing if count == 1 else several or f'{thing}s'}"
