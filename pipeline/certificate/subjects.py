"""What a certificate is about: admitted files, as receipts name them and the output has them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import datetime

from ingestgate.assets import storage
from ingestgate.assets.errors import EvidenceError
from ingestgate.assets.receipts import Receipt
from ingestgate.pipeline.certificate.statements import FOLDER, Annotations, Subject
from ingestgate.pipeline.hashing import Meter, Show, folder_digest, hash_files


def admitted_subjects(
    output: str, receipts: Mapping[str, Receipt], *, rehash: bool, show: Show | None
) -> dict[str, list[Subject]]:
    """Returns the subjects of each shard, after comparing the output with the receipts.

    Each names the screening that let it in by the rules that its shard was judged by.

    Args:
        output: Root of the admitted shards.
        receipts: By shard, what was committed.
        rehash: Compare the bytes, and not only names and sizes.
        show: Told how far it is, see `Meter`.

    Raises:
        EvidenceError: The output does not hold exactly what the receipts name.
        StorageError: It cannot be read.
    """
    output = storage.absolute(output)
    files = storage.walk_if_there(output, partials=True)
    sizes = {entry.path[len(output) + 1 :]: entry.size for entry in files}
    sizes = {name: size for name, size in sizes.items() if not name.startswith(f"{FOLDER}/")}
    below: dict[str, dict[str, int]] = defaultdict(dict)
    folders = {
        str(entry["name"])
        for receipt in receipts.values()
        if receipt.format == "folder"
        for entry in receipt.outputs
    }
    _refuse_nested(receipts, folders)
    for name in list(sizes):
        for folder in _ancestors(name):
            if folder in folders:
                below[folder][name] = sizes.pop(name)
    subjects: dict[str, list[Subject]] = {}
    for shard, receipt in receipts.items():
        subjects[shard] = []
        for out in receipt.outputs:
            name, size = str(out["name"]), int(out["size"])
            is_folder = name in folders
            found = sum(below[name].values()) if name in below else sizes.pop(name, None)
            if found is None and not (is_folder and size == 0):
                raise EvidenceError(
                    f"{name}: admitted by the receipt of {shard}, but not in the output; run again"
                )
            if found is not None and found != size:
                raise _changed(name, shard)
            kind = "dirHash" if is_folder else "sha256"
            subjects[shard].append(
                Subject(
                    name=name,
                    digest={kind: str(out["sha256"])},
                    annotations=Annotations(
                        size=size,
                        screening=receipt.context[:16],
                        committed_at=datetime.fromisoformat(receipt.committed_at),
                    ),
                )
            )
    if sizes:
        raise EvidenceError(
            f"{min(sizes)}: in the output, but admitted by no receipt; remove it "
            f"({len(sizes)} such files)"
        )
    if rehash:
        _rehash(output, subjects, below, show)
    return subjects


def _refuse_nested(receipts: Mapping[str, Receipt], folders: Set[str]) -> None:
    for shard, receipt in receipts.items():
        for out in receipt.outputs:
            for folder in _ancestors(str(out["name"])):
                if folder in folders:
                    raise EvidenceError(
                        f"{out['name']}: admitted by the receipt of {shard}, and inside the image "
                        f"folder {folder}, which has a receipt as well; remove {folder} from the "
                        "output, and receipts and ledgers of both from the evidence, and run again "
                        "with one of them"
                    )


def _ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _rehash(
    output: str,
    subjects: Mapping[str, Sequence[Subject]],
    below: Mapping[str, Mapping[str, int]],
    show: Show | None,
) -> None:
    shard_of = {one.name: shard for shard, several in subjects.items() for one in several}
    wanted = {one.name: one for several in subjects.values() for one in several}
    files = [name for name, one in wanted.items() if not one.is_folder]
    files += [name for folder in below for name in below[folder]]
    paths = [storage.join(output, name) for name in files]
    meter = Meter(sum(one.annotations.size for one in wanted.values()), show)
    found = dict(hash_files(paths, meter))
    for name, one in wanted.items():
        path = storage.join(output, name)
        if one.is_folder:
            inside = {p: found[p] for n in below.get(name, {}) if (p := storage.join(output, n))}
            actual = folder_digest(path, inside)
        else:
            actual = found[path]
        if actual != one.value:
            raise _changed(name, shard_of[name])


def _changed(name: str, shard: str) -> EvidenceError:
    return EvidenceError(
        f"{name}: is not what the receipt of {shard} says was admitted; find out who changed it, "
        "remove it, and run again"
    )
