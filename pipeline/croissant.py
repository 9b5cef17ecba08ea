"""What a dataset card says of the screening, made from the certificate: Croissant and a statement.

A fragment of Croissant 1.1 (http://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html) with
its responsible-AI vocabulary, to be merged into a dataset's own metadata, and a section in Markdown
for its data statement or model card. Croissant has no field for the result of a screening: it goes
into the provenance (`prov:wasGeneratedBy`) and the preprocessing protocol, in words and figures.
"""

from typing import Any, Final

from ingestgate.assets.printable import counted
from ingestgate.assets.verdict import SignalKind
from ingestgate.blocklists.signals import signal_types
from ingestgate.pipeline.certificate.statements import (
    FOLDER,
    PREDICATE_TYPE,
    Certificate,
    Screening,
    Subject,
)
from ingestgate.pipeline.templating import template

CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "includes": "cr:includes",
}
CONFORMS_TO: Final = (
    "http://mlcommons.org/croissant/1.1",
    "http://mlcommons.org/croissant/RAI/1.0",
)
_KINDS: Final = {
    SignalKind.DIGEST: "cryptographic digests",
    SignalKind.PERCEPTUAL: "perceptual hashes",
    SignalKind.SOURCE: "sources",
}
_MEDIA_TYPES = {
    ".tar": "application/x-tar",
    ".tar.gz": "application/gzip",
    ".tgz": "application/gzip",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".json": "application/json",
}


def croissant(certificate: Certificate, digest: str, name: str) -> dict[str, Any]:
    """Returns the JSON-LD fragment.

    Args:
        certificate: What was certified.
        digest: What the certificate is called by.
        name: The dataset's name.
    """
    screenings = certificate.predicate.screenings
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "conformsTo": list(CONFORMS_TO),
        "distribution": [_distribution(subject) for subject in certificate.subject],
        "rai:dataPreprocessingProtocol": [_protocol(one) for one in screenings],
        "rai:dataManipulationProtocol": _removed(certificate),
        "prov:wasGeneratedBy": [_activity(one, digest) for one in screenings],
    }


def _distribution(subject: Subject) -> dict[str, Any]:
    if subject.is_folder:
        return {
            "@type": "cr:FileSet",
            "@id": subject.name,
            "name": subject.name,
            "description": f"An image folder; its dirHash is {subject.value}.",
            "includes": f"{subject.name}/**",
            "encodingFormat": "image/*",
        }
    return {
        "@type": "cr:FileObject",
        "@id": subject.name,
        "name": subject.name,
        "contentUrl": subject.name,
        "contentSize": f"{subject.annotations.size} B",
        "encodingFormat": media_type(subject.name),
        "sha256": subject.value,
    }


def media_type(name: str) -> str:
    """Returns a shard's media type by its name."""
    found = (kind for suffix, kind in _MEDIA_TYPES.items() if name.lower().endswith(suffix))
    return next(found, "application/octet-stream")


def _protocol(screening: Screening) -> str:
    lists = ", ".join(f"{name} version {version}" for name, version in screening.versions().items())
    lists = lists or "none that keeps anything out"
    return (
        f"{counted(screening.shards, 'shard')}: every asset was checked against lists that "
        f"child-safety partners supply ({lists}), {_means(screening)}, before it was admitted; "
        "what matched was sealed away, what could not be "
        f"checked was held.{_let_pass(screening)} From {screening.screened_from.isoformat()} to "
        f"{screening.screened_until.isoformat()}."
    )


def _means(screening: Screening) -> str:
    """Returns, in words, by what assets were held against the lists: what these hold, no more."""
    uses = screening.kept_out_by()
    names = {name for use in uses for name in use.signal_types} - set(screening.not_searched)
    # An older certificate tells only whose canaries were caught.
    names = names or {name for use in uses for name in screening.canaries.get(use.id, ())}
    of_kind: dict[str, list[str]] = {}
    for name in sorted(names):
        signal = signal_types().get(name)
        if signal is not None:  # else of a plug-in that is not here
            of_kind.setdefault(_KINDS[signal.kind], []).append(name)
    said = [f"{kind} ({', '.join(of_kind[kind])})" for kind in _KINDS.values() if kind in of_kind]
    if not said:
        return "by what these hold"
    return "by " + " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _let_pass(screening: Screening) -> str:
    rescan = screening.rescanned_with
    admitted = sum(one.assets for one in screening.suppressions)
    left_in = sum(one.assets for one in rescan.suppressions) if rescan else 0
    why = "though they matched, by signed suppressions"
    said = (
        f" {admitted} were admitted {why}." if admitted else "",
        f" When checked again, {left_in} were left in {why}." if left_in else "",
    )
    return "".join(said)


def _removed(certificate: Certificate) -> str:
    counts = certificate.predicate.counts
    return (
        f"Of {sum(counts.values())} candidate assets {counts.get('admitted', 0)} were admitted, "
        f"{counts.get('quarantined', 0)} quarantined and {counts.get('unscannable', 0)} held "
        "because they could not be checked. Samples were removed whole; nothing was altered."
    )


def _activity(screening: Screening, digest: str) -> dict[str, Any]:
    return {
        "@type": "prov:Activity",
        "prov:label": "screening against partner lists",
        "prov:startedAtTime": screening.screened_from.isoformat(),
        "prov:endedAtTime": screening.screened_until.isoformat(),
        "prov:wasAssociatedWith": [
            {"@type": "prov:SoftwareAgent", "prov:label": f"ingestgate {version}"}
            for version in screening.software
        ],
        "prov:used": [
            {"@type": "prov:Entity", "prov:label": f"list {name}, version {version}"}
            for name, version in screening.versions().items()
        ],
        "prov:generated": {
            "@type": "prov:Entity",
            "@id": f"{FOLDER}/certificate.dsse.json",
            "prov:label": f"certificate {digest} ({PREDICATE_TYPE})",
        },
    }


def data_statement(certificate: Certificate, digest: str, name: str) -> str:
    """Returns the section for a data statement or model card, in Markdown."""
    # Names are put between backticks.
    return template("data-statement.md").render(
        name=name.replace("`", "'"),
        digest=digest,
        predicate=certificate.predicate,
        screenings=[(one, one.versions(), _means(one)) for one in certificate.predicate.screenings],
        subjects=len(certificate.subject),
    )
