"""Holding recorded fingerprints against lists: ledger parts in, rows that newly match out.

The same lists, thresholds and columns as judging; the pictures are not looked at. What cannot be
decided without them is not called clean: a hash may have been taken the quick way, which moves it
by some bits, so what comes within threshold and margin is to be judged again; and what the ledger
does not hold is named as missing.

Whole Arrow columns at a time. Python sees a row only if something was found in it.
"""

from ingestgate.transforms.rescanning.parts import rescan_bytes, rescan_part
from ingestgate.transforms.rescanning.results import Hit, PartResult, as_json
from ingestgate.transforms.rescanning.wanted import RescanLists

__all__ = ["Hit", "PartResult", "RescanLists", "as_json", "rescan_bytes", "rescan_part"]
