"""What an operator decides about a run, from a YAML file or by default."""

from ingestgate.pipeline.policy_file import load_policy
from ingestgate.transforms.policy import Policy


def policy_of(file: str | None) -> Policy:
    """Returns the policy of a file; without one the defaults, which fail closed.

    Raises:
        PolicyError: See `load_policy`.
    """
    return load_policy(file, Policy) if file else Policy()
