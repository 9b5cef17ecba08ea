"""What two people and a newer list do with the demo's output, command by command.

    python -m ingestgate.pipeline.demo_review

Takes the landing zone and the synthetic list of `ingestgate demo`, and goes the whole way in a
folder of its own: run, look, decide, release, verify, a newer list, rescan, recall, destroy. Each
step prints what it shows, the command, what that said, and what it ended with. The steps are the
same in the tests, on other pictures.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ingestgate.assets.errors import SelfTestError, UsageError
from ingestgate.pipeline.exit_codes import ExitCode

_SHOWN_LINES = 14
_VAULT = ("--quarantine", "vault")
_FOLDERS = ("--output", "admitted", *_VAULT, "--evidence", "evidence")


class Answer(NamedTuple):
    """What a command line ended with, and what it said."""

    code: int
    said: str
    errors: str


#: Calls ``ingestgate`` with some arguments, in the current folder of the walk.
Call = Callable[[Sequence[str]], Answer]


class _Steps:
    """Numbers the steps, prints them, and insists on how each ends."""

    def __init__(self, call: Call, say: Callable[[str], None]) -> None:
        self._call = call
        self._say = say
        self._number = 0

    def tell(self, title: str) -> None:
        self._number += 1
        self._say(f"\n{self._number}. {title}")

    def __call__(
        self,
        *arguments: str,
        code: ExitCode = ExitCode.DONE,
        quiet: bool = False,
        to: str | None = None,
    ) -> str:
        """Calls the command line; what it says also goes to a file, if one is named."""
        self._say(f"\n   $ ingestgate {shlex.join(arguments)}" + (f" > {to}" if to else ""))
        answer = self._call(arguments)
        if to:
            Path(to).write_text(answer.said)
        lines = [line for line in f"{answer.said}\n{answer.errors}".splitlines() if line.strip()]
        for line in [] if quiet else lines[:_SHOWN_LINES]:
            self._say(f"   {line[:160]}")
        if not quiet and len(lines) > _SHOWN_LINES:
            self._say(f"   ... {len(lines) - _SHOWN_LINES} more lines")
        if answer.code != code:
            raise SelfTestError(f"ended with {answer.code}, not {code}: {answer.errors.strip()}")
        if code:
            self._say(f"   (ended with {int(code)}, as it has to)")
        return answer.said

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Returns what was caught; once people are known, it takes one of them to see it."""
        answer = self._call(("quarantine", "list", *_VAULT, *arguments, "--json"))
        return [json.loads(line) for line in answer.said.splitlines()]


def walk(
    inputs: Sequence[str],
    partner: Path,
    call: Call,
    say: Callable[[str], None] = print,
    run_options: Sequence[str] = (),
) -> None:
    """Goes the whole way, in the current folder.

    Args:
        inputs: WebDataset shards of the landing zone.
        partner: The partner's files, ``<signal type>.csv``; one exact match is by ``md5.csv``.
        call: Calls the command line.
        say: Prints a line.
        run_options: Further options of each run.

    Raises:
        SelfTestError: A step did not end as it has to.
    """
    do = _Steps(call, say)
    run = ("run", "--input", *inputs, *_FOLDERS, "--lists", "lists")
    run = (*run, "--recipient", "recipients.txt", "--certificate-key", "gate.pem", *run_options)
    verify = ("verify", "admitted", "--key", "gate.pub")

    do.tell("Keys: one opens what is sealed, and never lies where the job runs; one signs for the")
    say("   gate; Ann and Rob have one each, made where they are.")
    do("keys", "recipient", "--to", "reviewers-secret.txt", to="recipients.txt")
    public = {}
    for name in ("gate", "ann", "rob"):
        public[name] = do("keys", "signing", "--to", f"{name}.pem", to=f"{name}.pub").strip()

    do.tell("The partner's list, version 1, and a run by it: what matches is sealed, the rest is")
    say("   admitted and certified.")
    _compile(do, 1, partner)
    do(*run)

    do.tell("What was caught: metadata only, no key, no picture.")
    do("quarantine", "list", *_VAULT)
    rows = do.rows()
    found = {row["tier"]: row["asset_id"] for row in rows}
    if not {"exact", "near", "source"} <= set(found):
        raise SelfTestError("the landing zone holds no match of each kind")

    do.tell("Two people. Each change of who may do what is a line of the audit log, signed.")
    for name, role in (("ann", "administrator"), ("rob", "approver")):
        add = ("quarantine", "reviewers", "add", *_VAULT, "--key", "ann.pem")
        do(*add, "--name", name, "--public", public[name], "--role", role)

    do.tell("Rob looks at one, which is on record before it is shown, and decides about two.")
    do("quarantine", "show", *_VAULT, "--key", "rob.pem", found["near"])
    decide = ("quarantine", "decide", *_VAULT, "--key", "rob.pem")
    why = "what the partner says it is"
    do(*decide, "--decision", "confirmed", "--reason", why, found["near"])
    why = "the host is listed, the picture is harmless"
    do(*decide, "--decision", "false_positive", "--reason", why, found["source"])

    do.tell("A release takes two: Rob asks, and cannot approve it himself; Ann does.")
    release = ("quarantine", "release", *_VAULT)
    asked = do(*release, "--key", "rob.pem", "--reason", why, found["source"])
    number = asked.split()[-1]
    do(*release, "--key", "rob.pem", "--approve", number, code=ExitCode.USAGE)
    do(*release, "--key", "ann.pem", "--approve", number)

    do.tell("What a training job runs before it reads a shard: it may.")
    do(*verify)

    do.tell("Version 2 of the list: it names one more picture, which was admitted, and withdraws")
    say("   the entry that one sealed picture had matched.")
    newer = Path("partner-2")
    beside = next(row["shard"] for row in rows if row["asset_id"] == found["exact"])
    shutil.copytree(partner, newer)
    header = (newer / "md5.csv").read_text().splitlines()[0]
    (newer / "md5.csv").write_text(f"{header}\n{_admitted_md5(beside)},added-later,demonstration\n")
    say(f"   {newer} is a copy of the partner's files with that picture alone in md5.csv.")
    _compile(do, 2, newer)

    do.tell("The rescan holds the ledger against it, without a picture, and recalls a shard.")
    do("rescan", "--evidence", "evidence", "--lists", "lists", "--withdrawn", "--key", "gate.pem")

    do.tell("From now on the dataset must not be trained on.")
    do(*verify, code=ExitCode.EVIDENCE_REFUSED)

    do.tell("What only the withdrawn entry had matched is up for review. It stays sealed until")
    say("   people decide.")
    do("quarantine", "list", *_VAULT, "--up-for-review")
    if [row["asset_id"] for row in do.rows("--key", "rob.pem", "--up-for-review")] != [
        found["exact"]
    ]:
        raise SelfTestError("not the one whose entry was withdrawn is up for review")
    do(*decide, "--decision", "escalate", "--reason", "ask the partner why", found["exact"])

    do.tell("The recalled shard is judged anew: the picture is sealed, the rest certified again.")
    say("   Nothing that was sealed is let out, whatever the newer list says of it.")
    do(*run, "--recall")
    do(*verify)
    sealed = do.rows("--key", "rob.pem")
    let_out = {(row["shard"], row["member"]) for row in sealed} & set(_admitted())
    if let_out:
        raise SelfTestError(f"{len(let_out)} of the sealed pictures lie in the output")
    reasons = {row["reason"] for row in sealed if row["asset_id"] == found["exact"]}
    if "matched_before" not in reasons:
        raise SelfTestError("what only the withdrawn entry had matched is not kept sealed")

    do.tell("Destruction takes two as well: Rob asks, and cannot approve it himself; Ann does. The")
    say("   receipt has both names.")
    destroy = ("quarantine", "destroy", *_VAULT)
    asked = do(*destroy, "--key", "rob.pem", "--reason", "as asked by an authority", found["near"])
    order = asked.split()[-1]
    do(*destroy, "--key", "rob.pem", "--approve", order, code=ExitCode.USAGE)
    do(*destroy, "--key", "ann.pem", "--approve", order)

    do.tell("All that is left is there, whole, and opens; each asset still has one verdict.")
    do("quarantine", "check", *_VAULT, "--identity", "reviewers-secret.txt")
    do("census", "--input", *inputs, *_FOLDERS)

    do.tell("Who did what, and that nothing of it was changed: a checkpoint is kept elsewhere.")
    do("audit", "checkpoint", *_VAULT, "--key", "ann.pem", "--to", "kept-elsewhere.json")
    do("audit", "show", *_VAULT)
    kept = ("--checkpoint", "kept-elsewhere.json", "--key", public["ann"])
    do("audit", "verify", *_VAULT, *kept)


def _compile(do: _Steps, version: int, partner: Path) -> None:
    sources = [f"{path.stem}={path}" for path in sorted(partner.glob("*.csv"))]
    about = ("--id", "partner", "--list-version", str(version), "--partner", "synthetic")
    do("lists", "compile", *about, "--to", "lists", *sources, quiet=True)


def _admitted() -> Iterator[tuple[str, str]]:
    """Yields shard and name of every member in the output, in order."""
    for path in sorted(Path("admitted").rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                yield path.relative_to("admitted").as_posix(), member.name


def _admitted_md5(beside: str) -> str:
    """Returns the MD5 of a picture that was admitted from a shard."""
    for shard, name in _admitted():
        if shard == beside and name.endswith((".jpg", ".png")):
            with tarfile.open(Path("admitted") / shard) as tar:
                content = tar.extractfile(name)
                if content is not None:
                    return hashlib.md5(content.read(), usedforsecurity=False).hexdigest()
    raise SelfTestError(f"admitted/{beside}: holds no picture")


def _called_in(folder: Path) -> Call:
    """Returns what calls the command line as a user does: a process each, in a folder."""
    entry = "from ingestgate.pipeline.cli import main; main()"

    def call(arguments: Sequence[str]) -> Answer:
        done = subprocess.run(  # noqa: S603 - the arguments are the steps' own
            [sys.executable, "-c", entry, *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "150"},
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


def main() -> None:
    """Goes the whole way on the output of `ingestgate demo`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", default="demo", help="where `ingestgate demo` put everything")
    root = Path(parser.parse_args().demo).absolute()
    if not (root / ".ingestgate-demo").exists():
        raise SystemExit(f"{root}: no demo there; run `make demo` first")
    folder = root / "review"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    try:
        walk(["../landing/webdataset/*.tar"], Path("../partner"), _called_in(folder))
    except (SelfTestError, UsageError) as error:
        raise SystemExit(f"ingestgate: {error}") from None
    print(
        f"\nEverything lies in {folder}. To go the way yourself, take the commands above in a\n"
        "new folder beside it, where no keys are yet, with a copy of its partner-2, and the ids\n"
        "that your own commands print."
    )


if __name__ == "__main__":
    main()
