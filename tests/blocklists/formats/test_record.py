from datetime import UTC, datetime

import pytest

from ingestgate.blocklists.entries import FieldError
from ingestgate.blocklists.formats.record import microseconds


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-02-01", "2026-02-01 00:00:00+00:00"),
        ("20260201", "2026-02-01 00:00:00+00:00"),
        ("20260201T101112Z", "2026-02-01 10:11:12+00:00"),
        ("2026-02-01 10:11:12.000013+01:00", "2026-02-01 09:11:12.000013+00:00"),
        ("2026-W05-7", "2026-02-01 00:00:00+00:00"),
        ("2026W057t10", "2026-02-01 10:00:00+00:00"),
        ("1769904000", "2026-02-01 00:00:00+00:00"),
        ("100000000", "1973-03-03 09:46:40+00:00"),
        ("0", "1970-01-01 00:00:00+00:00"),
    ],
)
def test_times(text: str, time: str) -> None:
    assert str(datetime.fromtimestamp(microseconds(text) / 1_000_000, UTC)) == time


@pytest.mark.parametrize(
    "text",
    [
        *("1769904000000", "1751121512345", "202602011011", "20260201101112"),  # milliseconds?
        *("1", "2026", "202602", "2026032", "20261301", "-1", "1769904000.5"),
        *("1751-12-15x23:45", "2026-02-01T", "01.02.2026", "02/01/2026", "", "\u0661" * 10),
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(FieldError, match="not a time"):
        microseconds(text)
