"""The exception that says why an asset has no fingerprint."""

from ingestgate.assets.verdict import Reason


class Unscannable(Exception):  # noqa: N818  (a verdict on the asset, not an error of the gate)
    """An asset that cannot be fingerprinted, and must not be admitted on a guess.

    Args:
        reason: One of the reasons of the verdict ``unscannable``.
        detail: A sentence for people; holds no bytes of the asset and no hash.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
