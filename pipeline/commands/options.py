"""Options that several commands have alike."""

from typing import Any

import click

#: A local file that has to be there.
FILE = click.Path(exists=True, dir_okay=False)
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


def json_flag(help: str) -> Any:
    """Returns the option for output as JSON; who asks for it gets errors as JSON, too.

    Args:
        help: What is printed.
    """
    return click.option("--json", "as_json", is_flag=True, help=help)


JSON = json_flag("Print JSON.")
SAMPLES = click.option(
    "--sample",
    "samples",
    multiple=True,
    metavar="ID",
    help="The sample that is meant, where an asset's id stands for several contents.",
)


def run_folders(command: Any) -> Any:
    """Gives a command ``--output``, ``--quarantine`` and ``--evidence``, those of the run."""
    for name in ("evidence", "quarantine", "output"):  # the last is the first in the help
        command = click.option(
            f"--{name}", required=True, type=click.Path(), metavar="DIR", help=f"Its {name}."
        )(command)
    return command


def policy(help: str) -> Any:
    """Returns the option for a policy file.

    Args:
        help: What the command wants of it.
    """
    return click.option("--policy", "policy_file", type=FILE, metavar="FILE", help=help)


def suppressions(help: str) -> Any:
    """Returns the option for signed suppressions.

    Args:
        help: What they are to the command.
    """
    path = click.Path(path_type=str)
    return click.option("--suppressions", type=path, metavar="FILE|DIR", help=help)
