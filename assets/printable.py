"""Names as a terminal may show them: whoever fills a landing zone chooses what they hold."""


def printable(text: str) -> str:
    r"""Returns text in which nothing is left that a terminal obeys, or that cannot be seen.

    Control characters, marks that turn the direction of writing, blanks other than the ordinary
    one, and what is not Unicode become escapes as in Python (``\x1b``, ``\u202e``).
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
