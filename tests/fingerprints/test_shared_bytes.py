import errno
import mmap
import os
import sys
from collections.abc import Iterator

import pytest

from ingestgate.fingerprints.protocol import QUICK, read_request, request
from ingestgate.fingerprints.shared_bytes import SharedBytes, map_shared

CONTENTS = [b"abc", b"", b"de"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this system has no such memory")


@pytest.fixture
def shared() -> Iterator[SharedBytes]:
    made = SharedBytes(8)
    yield made
    made.close()


def test_assets_lie_in_it_as_long_as_there_is_room(shared: SharedBytes) -> None:
    memory = map_shared(shared.descriptor, shared.size)
    for contents in (CONTENTS, [b"12345678"], [b"x"]):
        items = request(QUICK, contents, shared)
        assert len(items) == 2
        assert read_request(items, memory) == (False, contents)
    items = request(QUICK, [b"1234", b"56789"], shared)
    assert items == [QUICK, b"", b"1234", b"56789"]
    assert read_request(items, memory) == (False, items[2:])
    assert bytes(memory[:1]) == b"x"


def test_nothing_is_a_request_for_nothing(shared: SharedBytes) -> None:
    assert read_request(request(QUICK, [], shared), memoryview(b"")) == (False, [])


def test_who_maps_it_cannot_write(shared: SharedBytes) -> None:
    assert shared.put(CONTENTS)
    assert shared.descriptor is not None
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.write(shared.descriptor, b"x")
    memory = map_shared(shared.descriptor, shared.size)
    assert memory.readonly
    with pytest.raises(PermissionError):
        mmap.mmap(shared.descriptor, shared.size)  # to write, too


def test_it_stays_with_who_mapped_it(shared: SharedBytes) -> None:
    assert shared.put(CONTENTS)
    memory = map_shared(shared.descriptor, shared.size)
    shared.close()
    shared.close()
    assert bytes(memory[:5]) == b"abcde"
    assert not shared.put(CONTENTS)


def test_where_the_system_has_none_assets_go_with_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(name: str) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(os, "memfd_create", refuses)
    none = SharedBytes(8)
    assert none.descriptor is None
    items = request(QUICK, CONTENTS, none)
    assert items == [QUICK, b"", *CONTENTS]
    assert read_request(items, map_shared(none.descriptor, none.size)) == (False, CONTENTS)
    none.close()
