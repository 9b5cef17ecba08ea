"""What the command line says to the scheduler that called it."""

from enum import IntEnum

from ingestgate.assets.errors import EvidenceError, GateError, ListError, SelfTestError, UsageError


class ExitCode(IntEnum):
    """Exit codes of ``ingestgate``; documented, and stable."""

    DONE = 0
    FAILED = 1  #: the run failed; running again resumes it
    USAGE = 2  #: usage or configuration
    LISTS_REFUSED = 3  #: or a suppression was
    SELF_TEST_FAILED = 4
    EVIDENCE_REFUSED = 5  #: a certificate, log, manifest or shard is not what was signed for
    DONE_WITH_MATCHES = 10  #: only with ``--exit-on-match``


def exit_code(error: GateError) -> ExitCode:
    """Returns the exit code that goes with an error."""
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, ListError):
        return ExitCode.LISTS_REFUSED
    if isinstance(error, EvidenceError):
        return ExitCode.EVIDENCE_REFUSED
    if isinstance(error, SelfTestError):
        return ExitCode.SELF_TEST_FAILED
    return ExitCode.FAILED
