"""Who says that a list is the partner's.

Lists carry no signatures yet: their digests protect them against accidents, and only the
permissions of their folder against anybody else.
"""

SIGNATURES: frozenset[str] = frozenset()  # names of signature files beside ``list.json``


def verify_signature(directory: str, statement: bytes) -> tuple[str, ...]:
    """Returns the names of the trusted keys that signed a list.

    Called before anything in ``list.json`` is believed; a check that fails raises ListError.

    Args:
        directory: The compiled list's directory.
        statement: The bytes of its ``list.json``, which name every other file's digest.
    """
    del directory, statement
    return ()
