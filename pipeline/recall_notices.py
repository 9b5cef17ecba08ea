"""Recall notices: shards that were admitted and must not be trained on any more.

``recalls/<id>.dsse.json`` in the evidence and below ``_ingestgate/`` of the output. Who reads one
believes it, signed or not: a false notice stops a training job until somebody looks, a notice that
is not believed lets it read what was recalled.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingestgate.assets import storage
from ingestgate.assets.envelope import Envelope
from ingestgate.assets.errors import EvidenceError
from ingestgate.pipeline.statements import FOLDER

RECALL_VERSION: Final = 1
RECALL_TYPE: Final = "application/vnd.ingestgate.recall+json"


@dataclass(frozen=True, slots=True)
class RecallNotice:
    """One recall.

    Attributes:
        dataset: What is recalled from.
        made_at: RFC 3339 UTC time.
        lists: ``{id, version, digest}`` of the lists that newly match.
        shards: ``{name, sha256, assets}``: each admitted file, its digest as it was certified
            (of an image folder its dirHash), and how many of its assets match.
        certificate: Digest of the certificate that no longer holds, or "".
    """

    dataset: str
    made_at: str
    lists: Sequence[Mapping[str, Any]]
    shards: Sequence[Mapping[str, Any]]
    certificate: str = ""


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
        notice = RecallNotice(**known, certificate=str(content.get("certificate") or ""))
        whole = all(isinstance(shard["sha256"], str) for shard in notice.shards)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _unreadable(path) from None
    if kind != (RECALL_TYPE, RECALL_VERSION) or not whole:
        raise _unreadable(path)
    return notice


def _unreadable(path: str) -> EvidenceError:
    return EvidenceError(
        f"{path}: a recall notice that cannot be read, so that anything may be recalled; "
        "get it again from whoever issued it"
    )
