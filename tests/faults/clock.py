"""A clock that can be set, for everything of the gate that runs in this process."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self


class Clock:
    """Shifts the time that the gate's modules see; what they measure with does not move.

    Args:
        patch: Sets an attribute, as `pytest.MonkeyPatch.setattr` does; undoing is its matter.

    Attributes:
        ahead: How far it is ahead of the true time; behind, if negative.
    """

    def __init__(self, patch: Callable[[Any, str, Any], None]) -> None:
        clock, self.ahead = self, timedelta()

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return super().now(tz) + clock.ahead

        for name, module in list(sys.modules.items()):
            if name.startswith("ingestgate") and vars(module).get("datetime") is datetime:
                patch(module, "datetime", Shifted)
