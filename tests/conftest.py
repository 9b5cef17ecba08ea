"""For all tests: on a busy machine, how long an example takes says nothing about the code."""

import gc

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_collection_finish() -> None:
    """Spares garbage collections the thousands of tests, and all that these have imported."""
    gc.freeze()
