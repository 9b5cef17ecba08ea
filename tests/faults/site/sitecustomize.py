"""Kills a process at one of the changes it makes to a folder, or while it decodes.

Imported by every Python process that has this folder on its path. ``INGESTGATE_FAULT`` says in
JSON what is meant, as `tests.faults.killing.Strike` writes it.
"""

import json
import os
import sys
from pathlib import Path

strike = json.loads(os.environ["INGESTGATE_FAULT"])
if any(strike["process"] in argument for argument in sys.orig_argv):
    sys.path.insert(0, strike["tests"])
    from tests.faults.killing import kill_self
    from tests.faults.layer import FaultLayer

    class Layer(FaultLayer):
        def strikes(self, operation: str, path: str) -> bool:
            if strike["tally"]:
                with open(os.path.join(strike["tally"], str(os.getpid())), "ab") as tally:
                    tally.write(b".")
            return super().strikes(operation, path)

    layer = Layer(setattr, Path(strike["below"]))
    layer.arm(strike["at"], kill_self, for_ever=False)
