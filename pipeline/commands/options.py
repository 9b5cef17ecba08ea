"""Options that several commands have alike."""

from typing import Any

import click

#: A local file that has to be there.
FILE = click.Path(exists=True, dir_okay=False)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
LISTS = click.option(
    "--lists",
    "directory",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder of compiled lists.",
)
QUARANTINE = click.option(
    "--quarantine",
    "root",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="The quarantine of the run.",
)


def policy(help: str) -> Any:
    """Returns the option for a policy file.

    Args:
        help: What the command wants of it.
    """
    return click.option("--policy", "policy_file", type=FILE, metavar="FILE", help=help)
