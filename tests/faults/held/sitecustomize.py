"""Holds a run at one of the changes it makes to a folder, until it is told to go on.

Imported by every Python process that has this folder on its path; the environment says where:
``INGESTGATE_HOLD_AT``, the number of the change, ``INGESTGATE_HOLD_BELOW``, the folder, and
``INGESTGATE_HOLD_PIPES``, where it says that it is there, and where it waits.
"""

import os
import sys
from pathlib import Path

if any(argument.endswith("/ingestgate") for argument in sys.orig_argv):
    sys.path.insert(0, os.environ["INGESTGATE_HOLD_TESTS"])
    from tests.faults.layer import FaultLayer

    there, wait = map(int, os.environ["INGESTGATE_HOLD_PIPES"].split())

    def hold() -> None:
        os.write(there, b".")
        os.read(wait, 1)

    layer = FaultLayer(setattr, Path(os.environ["INGESTGATE_HOLD_BELOW"]))
    layer.arm(int(os.environ["INGESTGATE_HOLD_AT"]), hold, for_ever=False)
