from typing import Any

import numpy as np
import pytest

from ingestgate.assets.errors import SelfTestError
from ingestgate.blocklists import hamming, selftest, source_matching
from ingestgate.blocklists.hamming import Neighbours
from ingestgate.blocklists.tables import SortedValues


@pytest.fixture(autouse=True)
def _anew() -> None:
    selftest.self_test.cache_clear()


def test_passes() -> None:
    selftest.self_test()


def test_notices_a_search_that_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    none = Neighbours(*(np.empty(0, np.int64) for _ in range(3)))
    monkeypatch.setattr(hamming, "search_index_each", lambda *arguments: [none])
    with pytest.raises(SelfTestError, match="self-test of pdq: missed what is listed"):
        selftest.self_test()


def test_notices_a_search_that_is_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = hamming.scan

    def wider(hashes: Any, queries: Any, threshold: int) -> Neighbours:
        return scan(hashes, queries, threshold + 1)

    monkeypatch.setattr(hamming, "scan", wider)
    with pytest.raises(SelfTestError, match="pdq: matched what is not listed, at distance 32"):
        selftest.self_test()


def test_notices_look_ups_that_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.empty(0, np.intp)
    monkeypatch.setattr(SortedValues, "find", lambda self, queries: (nothing, nothing))
    with pytest.raises(SelfTestError, match="self-test of md5: missed what is listed"):
        selftest.self_test()


def test_notices_a_host_walk_that_stops_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_matching, "domain_expressions", lambda host: [host.encode()])
    with pytest.raises(SelfTestError, match="self-test of domain: missed what is listed"):
        selftest.self_test()
