"""Who says that a list is the partner's, and whether a stale one may be used for a while.

A list's signatures lie beside its ``list.json``, in a DSSE envelope whose payload is that file
byte for byte; it names the digest of every other file. A policy that names keys wants signatures
by as many of them as its threshold says, and believes no list without. A policy without keys
believes what is there: the lists' digests protect them against accidents, and the permissions of
their folder against people.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import ListError

SIGNATURES = "list.dsse.json"
EXEMPTION = "exception.dsse.json"
SIDE_FILES = frozenset({SIGNATURES, EXEMPTION})  # beside a list, and not named in it
LIST_TYPE = "application/vnd.ingestgate.list+json"


@dataclass(frozen=True)
class Trust:
    """Whom a run believes.

    Attributes:
        keys: Trusted public keys by name; no two names have the same key.
        threshold: How many of them have to have signed.
        lists_signed: Whether lists have to be signed as well, and not only exceptions for them.
        max_change: Largest share by which a list may shrink or grow between the versions that
            were seen, see `remembered`.
    """

    keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    threshold: int = 1
    max_change: float = 0.5
    lists_signed: bool = True

    def signers(self, directory: str, statement: bytes) -> tuple[str, ...]:
        """Returns the names of the trusted keys that signed a list; none if it need not be signed.

        Called before anything in ``list.json`` is believed.

        Args:
            directory: The compiled list's directory.
            statement: The bytes of its ``list.json``, which name every other file's digest.

        Raises:
            ListError: Too few of the trusted keys signed it.
        """
        if not (self.keys and self.lists_signed):
            return ()
        path = storage.join(directory, SIGNATURES)
        envelope = Envelope.read(path, LIST_TYPE, ListError)
        if envelope is None:
            raise ListError(
                f"{directory}: not signed, and the policy names keys that lists must be signed "
                "by; have it signed with 'ingestgate lists sign'"
            )
        if envelope.payload != statement:
            raise ListError(
                f"{path}: signs another list.json than the one beside it; copy the list again "
                "from whom you have it, or have it signed again"
            )
        return self.enough(directory, envelope)

    def enough(
        self, what: str, envelope: Envelope, *, command: str = "lists sign"
    ) -> tuple[str, ...]:
        """Returns the names of the trusted keys that signed an envelope.

        Args:
            what: What is signed, for messages.
            envelope: The envelope.
            command: Which one signs such, for messages.

        Raises:
            ListError: They are fewer than the threshold.
        """
        signers = envelope.signers(self.keys)
        if len(signers) < self.threshold:
            raise ListError(
                f"{what}: signed by {len(signers)} of the {len(self.keys)} trusted keys"
                f"{''.join(f' ({name})' for name in signers)}, the policy wants {self.threshold}; "
                f"have it signed with 'ingestgate {command}' by a key that the policy names"
            )
        return signers


ANYBODY = Trust()  # no keys: what is there is believed
