"""Samples with bytes changed, lost and put in: read or refused, never a leak of anything else."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.formats import registry
from ingestgate.blocklists.formats.mapping import parse_mapping
from ingestgate.blocklists.formats.reading import read_list

SAMPLES = Path(__file__).parents[1] / "samples"
MAPPINGS = {
    "table.csv": str(SAMPLES / "table.yaml"),
    "table.jsonl": "md5=md5,sha256=sha256,id=ref",
    "table.parquet": "sha256=digest,id=ref",
}
INSERTED = (b"\0", b'"', b"[", b"{", b"\r", b"\n", b"9" * 30, b"null", b"<x>", b"\xff", b",", b"\v")
SECRET = re.compile(r"[0-9A-Fa-f]{16}|orchard|grove")


def damaged(content: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(3)
        if kind == 0:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del changed[at : at + rng.randint(1, 40)]
        else:
            changed[at:at] = rng.choice(INSERTED)
    return bytes(changed)


@pytest.mark.parametrize(
    "name", sorted(path.name for path in SAMPLES.iterdir() if path.suffix != ".yaml")
)
def test_damage_is_read_or_refused(name: str, tmp_path: Path) -> None:
    sample, path = SAMPLES / name, tmp_path / "f"
    mapping = parse_mapping(MAPPINGS[name]) if name in MAPPINGS else None
    if name.startswith("hashed"):
        one = registry.list_format("hashed-expressions")
    else:
        one = registry.detect(str(sample), mapping)
    messages: list[str] = []
    for seed in range(60):
        path.write_bytes(damaged(sample.read_bytes(), seed))
        try:
            list(read_list(str(path), one, Counter()))
            registry.detect(str(path), mapping)
        except (ListError, UsageError) as error:
            messages.append(str(error).removeprefix(str(path)))
    assert messages
    assert not [message for message in messages if SECRET.search(message)]
