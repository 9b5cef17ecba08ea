"""The docs say what the program does: commands, links, codes, reasons, columns, fields."""

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from ingestgate.assets.containers import registry
from ingestgate.assets.ledger import FINDING_TYPE, ledger_schema
from ingestgate.assets.verdict import REASONS, Reason, Tier, Verdict
from ingestgate.blocklists.signals import BUILT_IN
from ingestgate.fingerprints.perceptual import perceptual_hashes
from ingestgate.pipeline.cli import cli
from ingestgate.pipeline.commands.on_record import NAMELESS
from ingestgate.pipeline.exit_codes import ExitCode
from ingestgate.quarantine.manifest import ManifestRow, manifest_schema
from ingestgate.quarantine.reviewers import NEEDED, UNTIL_KNOWN

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"(?:^|[\s(/])(ingestgate [^\n]*)")
_ENDS = {"|", ">", ">>", "&&", ";", "#", "2>"}


def _blocks(page: Path, *languages: str) -> list[str]:
    found = _FENCE.findall(page.read_text("utf-8"))
    return [body for language, body in found if language in languages]


def _rows(page: str, heading: str) -> Iterator[list[str]]:
    """Yields the cells of the tables below a heading."""
    text = (ROOT / page).read_text("utf-8")
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    following = re.search(rf"^#{{1,{heading.count('#')}}} ", text[start:], re.MULTILINE)
    section = text[start : start + following.start()] if following else text[start:]
    for line in section.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _calls() -> list[tuple[str, str]]:
    return [
        (page.name, call)
        for page in PAGES
        for block in _blocks(page, "sh", "text", "console")
        for call in _CALL.findall(block.replace("\\\n", " "))
    ]


def _commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _words(call: str) -> list[str]:
    lexer = shlex.shlex(call, posix=True, punctuation_chars="|>&;)")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in _ENDS or set(word) <= set("|>&;)"):
            break
        words.append(word)
    return words[1:]


def test_there_is_something_to_check() -> None:
    assert len(PAGES) >= 9
    assert len(_calls()) >= 20


@pytest.mark.parametrize(
    "path", [path for path, _ in _commands(cli)], ids=lambda path: " ".join(path)
)
def test_every_command_is_in_the_docs(path: tuple[str, ...]) -> None:
    call = " ".join(("ingestgate", *path))
    assert any(call in page.read_text("utf-8") for page in PAGES)


def test_every_option_of_run_has_a_word_in_the_docs() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    run = dict(_commands(cli))["run",]
    for option in (p for p in run.params if isinstance(p, click.Option)):
        assert any(name in text for name in (*option.opts, *option.secondary_opts)), option.opts


@pytest.mark.parametrize(("page", "call"), _calls())
def test_every_documented_command_line_parses(
    page: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = _words(call)
    top = cli.make_context("ingestgate", list(arguments), resilient_parsing=True)
    arguments = [*top._protected_args, *top.args]
    command: click.Command = cli
    path = []
    while isinstance(command, click.Group):
        path.append(arguments.pop(0))
        command = command.commands[path[-1]]
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    command.make_context(" ".join(path), arguments)


@pytest.mark.parametrize(
    "command", [cli, *(command for _, command in _commands(cli))], ids=lambda c: c.name
)
def test_help_keeps_its_layout(command: click.Command) -> None:
    with click.Context(command, info_name=command.name) as context:
        assert "\\b" not in command.get_help(context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    text = _FENCE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_python_name_what_is_there(page: Path) -> None:
    for block in _blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ingestgate"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_yaml_and_json_can_be_read(page: Path) -> None:
    for block in _blocks(page, "yaml"):
        assert yaml.safe_load(block)
    for block in _blocks(page, "json"):
        assert json.loads(block)


@pytest.mark.parametrize("page", ["README.md", "docs/operators.md"])
def test_exit_codes(page: str) -> None:
    rows = [row for row in _rows(page, "## Exit codes") if row[0].isdigit()]
    assert {row[1]: int(row[0]) for row in rows} == {code.name: int(code) for code in ExitCode}


def test_reasons() -> None:
    rows = [row for row in _rows("docs/compliance.md", "## Reasons") if row[0] in tuple(Verdict)]
    told = {Reason(_names(row[1])[0]): Verdict(row[0]) for row in rows}
    assert len(rows) == len(told)
    assert told == {reason: verdict for verdict, known in REASONS.items() for reason in known}


def test_tiers() -> None:
    rows = list(_rows("docs/compliance.md", "## Tiers of evidence"))[1:]
    assert [_names(row[0]) for row in rows] == [[tier.value] for tier in Tier]


def test_fields_of_a_finding() -> None:
    rows = list(_rows("docs/compliance.md", "## Findings"))
    fields = rows[1 : next(i for i, row in enumerate(rows) if row[0] == "`view`" and i > 7)]
    assert [name for row in fields for name in _names(row[0])] == [f.name for f in FINDING_TYPE]


def test_fields_of_a_manifest_row() -> None:
    rows = list(_rows("docs/compliance.md", "### A manifest row"))[1:]
    assert {name for row in rows for name in _names(row[0])} == set(ManifestRow.model_fields)


def test_schema_of_the_manifest() -> None:
    stored = json.loads((ROOT / "docs" / "manifest.schema.json").read_text("utf-8"))
    assert stored == manifest_schema(), "write it again, see CONTRIBUTING.md"


def test_columns_of_the_ledger() -> None:
    rows = list(_rows("docs/data-engineers.md", "## The ledger"))[1:]
    told = [name for row in rows for name in _names(row[0])]
    assert told == ledger_schema(["pdq", "phash"]).names


def test_perceptual_hashes() -> None:
    text = (ROOT / "docs" / "data-engineers.md").read_text("utf-8")
    sentence = re.search(r"It may name (.*?)\(as Python's", text, re.DOTALL)
    assert sentence
    assert _names(sentence[1]) == list(perceptual_hashes())


def test_signal_types() -> None:
    rows = list(_rows("docs/operators.md", "### Files that can be compiled"))[1:]
    told = [(_names(row[0])[0], row[1], int(row[2]), int(row[3])) for row in rows]
    assert told == [(s.name, s.kind.value, s.width, s.threshold) for s in BUILT_IN]


def test_formats() -> None:
    rows = list(_rows("README.md", "## Formats"))[1:]
    assert sorted(_names(row[0])[0] for row in rows) == registry.names()


def _named_events() -> Iterator[str]:
    """Yields what modules name events: ``EVENT: Final = "what.happened"``."""
    for room in ("quarantine", "pipeline"):
        for source in (ROOT / room).rglob("*.py"):
            for node in ast.parse(source.read_text("utf-8")).body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant):
                    value = str(node.value.value)
                    if re.fullmatch(r"[a-z]+\.[a-z_]+", value) and not value.endswith(".json"):
                        yield value


def test_every_event_of_the_audit_log_is_documented_with_who_brings_it_about() -> None:
    (_, *rows) = _rows("docs/compliance.md", "### Its events")
    told = {name: who for cell, who, _ in rows for name in _names(cell)}
    assert set(told) == {*NEEDED, *NAMELESS.values(), *_named_events()}
    roles = {event: f"`{role.name.lower()}`" for event, role in NEEDED.items()}
    assert {event: told[event] for event in NEEDED} == roles
    text = (ROOT / "docs/compliance.md").read_text("utf-8")
    after = text[text.index("As long as the log knows nobody, `vault.") :].partition("may be")[0]
    assert set(_names(after)) == UNTIL_KNOWN
