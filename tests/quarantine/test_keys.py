import re
import stat
from pathlib import Path

import pyrage
import pytest

from ingestgate.assets.errors import UsageError
from ingestgate.assets.signing_keys import generate_signing_key
from ingestgate.quarantine.keys import generate_identity, read_recipients
from ingestgate.quarantine.opening import read_identities

SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPYG2pyms/UKvU4MK0ruBQiNbakR23Vd0gVTJxCcyVsx"


def new_recipient() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


def test_an_identity_file_is_as_age_keygen_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key.txt"
    recipient = generate_identity(str(path))
    assert re.fullmatch(
        r"# created: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
        rf"# public key: {recipient}\n"
        r"AGE-SECRET-KEY-1[A-Z0-9]{58}\n",
        path.read_text(),
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (identity,) = read_identities(str(path))
    assert str(identity.to_public()) == recipient


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    generate_identity(str(path))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        generate_identity(str(path))
    assert path.read_bytes() == before


def test_a_secret_key_is_not_written_to_a_bucket() -> None:
    with pytest.raises(UsageError, match="local file only"):
        generate_identity("gs://bucket/key.txt")


def test_recipients_come_from_values_and_files_once_and_in_order(tmp_path: Path) -> None:
    first, second, third = (new_recipient() for _ in range(3))
    file = tmp_path / "team.txt"
    file.write_text(f"# the team\n\n  {second}\n{first}\n{SSH} someone@example.org\n")
    assert read_recipients([first, str(file), third, third.upper(), f" {SSH} other "]) == (
        first,
        second,
        SSH,
        third,
    )


@pytest.mark.parametrize("secret", ["AGE-SECRET-KEY-1", "age-secret-key-1", "AGE-PLUGIN-X-1"])
def test_a_secret_key_is_refused_and_not_repeated(tmp_path: Path, secret: str) -> None:
    file = tmp_path / "key.txt"
    generate_identity(str(file))
    key = secret + file.read_text().split("AGE-SECRET-KEY-1")[1].strip()
    file.write_text(f"{new_recipient()}\n{key}\n")
    for value in (key, str(file)):
        with pytest.raises(UsageError, match="holds a secret key") as caught:
            read_recipients([value])
        assert key not in str(caught.value)
        assert caught.value.__cause__ is None


def test_an_ssh_secret_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "id"
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="holds a secret key"):
        read_recipients([str(file)])


def test_what_is_no_recipient_is_named(tmp_path: Path) -> None:
    good = new_recipient()
    for bad in (good[:-1], good + "q", "age1nonsense", "ssh-rsa AAAA"):
        with pytest.raises(UsageError, match="not an age recipient"):
            read_recipients([good, bad])

    file = tmp_path / "team.txt"
    file.write_text(f"{good}\npasted by mistake\n")
    with pytest.raises(UsageError, match=r"team\.txt:2: not an age recipient") as caught:
        read_recipients([str(file)])
    assert "pasted" not in str(caught.value)

    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not a text file"):
        read_recipients([str(file)])
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(UsageError, match="too large"):
        read_recipients([str(file)])
    for missing in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(UsageError, match="neither age1"):
            read_recipients([str(missing)])


def test_no_recipient_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one public key"):
        read_recipients([])
    (tmp_path / "empty.txt").write_text("# nobody\n")
    with pytest.raises(UsageError, match="holds no recipient; write the public key into it"):
        read_recipients([str(tmp_path / "empty.txt")])


def test_a_bad_identity_file_names_the_line_and_not_the_key(tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    file.write_text("# mine\nAGE-SECRET-KEY-1SHORT\n")
    with pytest.raises(UsageError, match=r"key\.txt:2: not an age secret key") as caught:
        read_identities(str(file))
    assert "SHORT" not in str(caught.value)
    file.write_text("# mine\n")
    with pytest.raises(UsageError, match="holds no secret key"):
        read_identities(str(file))
    generate_signing_key(str(tmp_path / "ann.pem"))
    for name in ("none.txt", "ann.pem"):
        with pytest.raises(
            UsageError, match="not a readable identity file; it takes an age secret"
        ):
            read_identities(str(tmp_path / name))
