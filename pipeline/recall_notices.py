"""Recall notices: shards that were admitted and must not be trained on any more.

``recalls/<id>.dsse.json`` in the evidence and below ``_ingestgate/`` of the output. Who reads one
believes it, signed or not: a false notice stops a training job until somebody looks, a notice that
is not believed lets it read what was recalled.

A notice is never taken back. It stops to count for a file once that was judged anew, later and with
all the lists that the rescan had or newer ones: `verify` learns that from the certificate, which is
signed, so nobody lifts a recall who could not certify anything.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.pipeline.certificate.statements import FOLDER

RECALL_VERSION: Final = 1
RECALL_TYPE: Final = "application/vnd.ingestgate.recall+json"


@dataclass(frozen=True, slots=True)
class RecallNotice:
    """One recall.

    Attributes:
        dataset: What is recalled from: where the output lies.
        made_at: RFC 3339 UTC time.
        lists: ``{id, version, digest}`` of all lists that the rescan held the ledger against.
        shards: ``{name, sha256, assets}``: each admitted file, its digest as it was certified
            (of an image folder its dirHash), and how many of its assets match.
        certificate: Digest of the certificate that no longer holds, or "".
        exceptions: By which expired lists were used, as `Exemption.described`.
    """

    dataset: str
    made_at: str
    lists: Sequence[Mapping[str, Any]]
    shards: Sequence[Mapping[str, Any]]
    certificate: str = ""
    exceptions: Sequence[Mapping[str, Any]] = ()

    def lacking(self, lists: Iterable[Mapping[str, Any]]) -> list[str]:
        """Returns the ids of its lists that are not among some in that version or a newer one.

        Args:
            lists: ``{id, version, digest}`` of each.
        """
        known = {str(one["id"]): (one["version"], one["digest"]) for one in lists}
        return sorted(
            str(one["id"])
            for one in self.lists
            if known.get(one["id"], (0, ""))[0] <= one["version"]
            and known.get(one["id"]) != (one["version"], one["digest"])
        )

    def is_answered_by(self, committed_at: datetime, lists: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a judging is one that settles it: later, and by its lists or newer ones.

        Args:
            committed_at: When what was judged was let in.
            lists: As of `lacking`, the lists it was judged with.
        """
        later = committed_at >= datetime.fromisoformat(self.made_at)
        return later and bool(self.lists) and not self.lacking(lists)


def recall_folders(output: str, evidence: str) -> tuple[str, str]:
    """Returns the folders that notices lie in: of the output, and of the evidence."""
    return storage.join(output, FOLDER, "recalls"), storage.join(evidence, "recalls")


def write_recall(
    output: str, evidence: str, id: str, notice: RecallNotice, key: Ed25519PrivateKey | None
) -> list[str]:
    """Writes a notice into output and evidence, signed where there is a key; returns the paths.

    The output comes first: it is there that a training job looks.
    """
    content = json.dumps({"version": RECALL_VERSION, **asdict(notice)}, sort_keys=True)
    envelope = Envelope(RECALL_TYPE, content.encode())
    if key is not None:
        envelope = envelope.signed(key)
    paths = []
    for folder, private in zip(recall_folders(output, evidence), (False, True), strict=True):
        paths.append(storage.join(folder, f"{id}.dsse.json"))
        envelope.write(paths[-1], private=private)
    return paths


def read_notice(path: str) -> RecallNotice:
    """Returns the notice in a file, whoever signed it or not.

    Raises:
        EvidenceError: It cannot be told what it recalls.
    """
    try:
        fields = json.loads(storage.read_bytes(path))
        content = json.loads(base64.b64decode(fields["payload"]))
        kind = (fields["payloadType"], content.pop("version"))
        known = {name: content[name] for name in ("dataset", "made_at", "lists", "shards")}
        notice = RecallNotice(
            **known,
            certificate=str(content.get("certificate") or ""),
            exceptions=content.get("exceptions") or (),
        )
        shards, lists = notice.shards, notice.lists
        whole = all(isinstance(s["sha256"], str) and isinstance(s["name"], str) for s in shards)
        whole &= all(isinstance(u["id"], str) and isinstance(u["version"], int) for u in lists)
        whole &= all(isinstance(used["digest"], str) for used in lists)
        whole &= datetime.fromisoformat(notice.made_at).tzinfo is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _unreadable(path) from None
    if kind != (RECALL_TYPE, RECALL_VERSION) or not whole:
        raise _unreadable(path)
    return notice


def _unreadable(path: str) -> EvidenceError:
    return EvidenceError(
        f"{path}: a recall notice that cannot be read, so that anything may be recalled; "
        "get it again from whoever issued it"
    )
