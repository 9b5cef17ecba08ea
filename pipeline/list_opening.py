"""Opening the lists that a policy asks for, in the driver: verified, and none that went back."""

from datetime import datetime

from ingestgate.blocklists.listset import ListSet
from ingestgate.blocklists.remembered import check_remembered
from ingestgate.transforms.policy import Policy


def open_lists(directory: str, policy: Policy, now: datetime, state: str | None = None) -> ListSet:
    """Opens the lists of a folder and checks every byte of them.

    Args:
        directory: The folder.
        policy: Whose overrides, trust and largest change count.
        now: The time they must be in force at, with a time zone.
        state: File that remembers which lists were seen, or None.

    Raises:
        ListError: A list is refused, or is not what was seen before.
        UsageError: The policy speaks of a list that is not there.
        StorageError: The folder or the file cannot be read.
    """
    lists = ListSet.open(
        directory, now=now, overrides=policy.list_overrides(), trust=policy.trust.opened()
    )
    if state is not None:
        check_remembered(state, lists.infos, policy.trust.max_change)
    return lists
