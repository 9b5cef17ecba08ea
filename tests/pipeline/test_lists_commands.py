"""``ingestgate lists import``, ``compile --store`` and ``diff``; the documented samples."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingestgate.blocklists.formats import registry
from ingestgate.pipeline.cli import cli

ROOT = Path(__file__).parents[2]
SAMPLES = Path("tests/blocklists/samples")
PAGE = (ROOT / "docs" / "list-formats.md").read_text("utf-8")
IMPORTS = re.findall(r"^ingestgate (lists import --store .*)$", PAGE, re.MULTILINE)
PARQUET = "table.parquet"
ONLY_NAMED = {"threatexchange.json", "hashes.sha256", "vics-media.json"}  # a second of a kind


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / SAMPLES, tmp_path / SAMPLES)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", IMPORTS, ids=lambda command: command.split()[5])
def test_documented_commands_import_the_samples(command: str) -> None:
    result = invoke(*shlex.split(command), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["total"] >= 2


def test_every_format_and_sample_is_documented() -> None:
    for name in registry.names():
        assert f"`{name}`" in PAGE
    for path in SAMPLES.iterdir():
        assert path.name in PAGE or path.name == "vics-media.json"


def test_documented_samples_are_the_files_and_whole() -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown = [text.rstrip("\n") for language, text in blocks if language != "sh"]
    files = {path.name: path.read_bytes() for path in SAMPLES.iterdir()}
    texts = {
        name: content.decode().rstrip("\n") for name, content in files.items() if name != PARQUET
    }
    assert [one for one in shown if one not in texts.values() and "ingestgate" not in one] == []
    assert {name for name, text in texts.items() if text not in shown} == ONLY_NAMED


def test_from_files_to_versions_and_what_lies_between() -> None:
    store = ("--store", "store", "--partner", "p")
    first = invoke("lists", "import", *store, str(SAMPLES / "ncmec-1.xml"))
    assert first.stdout == (
        "p (ncmec): 3 entries added, 0 removed, 0 changed; 3 now\n"
        "values: 3 md5, 1 pdq, 1 sha1\n"
        "skipped: 1 pdna (no such hash here), 1 tmk-pdqf (no such hash here)\n"
    )
    compile_ = ("lists", "compile", "--id", "a", "--to", "lists", *store, "--list-version")
    no_expiry = "no expiry: it cannot be signed, nor used where a policy names trusted keys\n"
    assert invoke(*compile_, "1").stdout == f"a version 1: 3 md5, 1 pdq, 1 sha1\n{no_expiry}"
    second = invoke("lists", "import", *store, str(SAMPLES / "ncmec-2.xml"))
    assert second.stdout.startswith("p (ncmec): 1 entries added, 1 removed, 0 changed; 3 now\n")
    assert invoke(*compile_, "2").stdout == (
        f"a version 2: 3 md5, 1 pdq, 1 sha1\n{no_expiry}"
        "since version 1: 1 entries added, 1 removed, 0 changed\n"
    )
    diff = invoke("lists", "diff", "lists/a-1", "lists/a-2")
    assert diff.stdout == (
        "list a version 1 to list a version 2: 1 added, 1 removed, 0 changed\n"
        "+ 42/image3\n- 42/image2\n"
    )
    said = json.loads(invoke("lists", "diff", "lists/a-1", "lists/a-2", "--json").stdout)
    assert said["counts"] == {"added": 1, "removed": 1, "changed": 0}
    assert (said["added"], said["removed"]) == (["42/image3"], ["42/image2"])


def test_refused_files_are_exit_code_3_and_change_nothing() -> None:
    Path("bad.txt").write_text("md5 0123456789abcdef0123456789abcde\n")
    result = invoke("lists", "import", "--store", "s", "--partner", "p", "bad.txt", "--json")
    assert result.exit_code == 3
    error = json.loads(result.stdout)
    assert error["error"].startswith("bad.txt, line 1, value: no md5 of 32 hex digits")
    assert "0123456789" not in result.output
    assert not Path("s/p/entries.parquet").exists()


def test_what_may_be_left_out_of_a_feed(tmp_path: Path) -> None:
    rows = "".join(f"{n:032x}\n" for n in range(1, 20))
    Path("feed.csv").write_text(f"md5,host\n{rows.replace(chr(10), ',a.hoster.example' + chr(10))}")
    with Path("feed.csv").open("a") as feed:
        feed.write("12,hoster.example\n")
    Path("psl").write_text("hoster.example\n")
    arguments = ("lists", "import", "--store", "store", "--partner", "p", "feed.csv")
    given = ("--map", "md5=md5,domain=host", "--public-suffixes", "psl", "--leave-out-never-match")
    refused = invoke(*arguments, *given)
    assert refused.exit_code == 3
    assert "line 21, md5: no md5 of 32 hex digits" in refused.stderr
    result = invoke(*arguments, *given, "--leave-out-malformed", "0.1")
    assert result.exit_code == 0, result.output
    assert "skipped: 1 domain that would match what nobody meant, 1 malformed md5" in result.stdout
    assert invoke(*arguments, *given, "--leave-out-malformed", "0.2").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["bad.txt"], "no file there"),
        ([str(SAMPLES / "hashed-expressions.txt")], "no format known; say which with --format"),
        ([str(SAMPLES / "table.csv"), "--format", "csv"], "say which column is what with --map"),
        ([str(SAMPLES / "table.csv"), "--map", "hash=Hash"], "'hash' is neither a signal type"),
        ([str(SAMPLES / "imagehash.txt"), "--type", "x"], "no signal type 'x'"),
    ],
)
def test_what_cannot_be_done_as_asked_is_exit_code_2(arguments: list[str], problem: str) -> None:
    result = invoke("lists", "import", "--store", "s", "--partner", "p", *arguments)
    assert (result.exit_code, problem in result.stderr) == (2, True), result.stderr


def test_compiling_needs_something() -> None:
    result = invoke("lists", "compile", "--id", "a", "--list-version", "1", "--to", "l")
    assert (result.exit_code, "no source given" in result.stderr) == (2, True)
    nobody = ("--store", "s", "--partner", "p")
    result = invoke("lists", "compile", "--id", "a", "--list-version", "1", "--to", "l", *nobody)
    assert (result.exit_code, "no entries of that partner" in result.stderr) == (3, True)


def test_compiling_a_store_needs_to_know_whose_entries() -> None:
    options = ("--id", "p", "--list-version", "1", "--to", "lists", "--store", "store")
    result = invoke("lists", "compile", *options)
    assert result.exit_code == 2
    assert "list p: a store holds what partners supplied; say whose by --partner" in result.stderr


def test_fetching_from_a_folder() -> None:
    fetch = ("lists", "fetch", "--exchange", "folder", "--from", str(SAMPLES), "--to", "f")
    first = invoke(*fetch, "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["pages"] == len(list(SAMPLES.iterdir()))
    assert invoke(*fetch).stdout == "nothing new\n"


def test_what_a_fetch_says_to_import_makes_up_for_an_import_that_failed() -> None:
    fetch = ("lists", "fetch", "--exchange", "folder", "--from", "in", "--to", "f")
    Path("in").mkdir()
    for number in (1, 2):  # and the first window's folder is imported by nobody
        Path(f"in/{number}.txt").write_text(f"md5 {number:032x}\n")
        named = invoke(*fetch).stdout.split("; import ")[-1].strip()
    again = json.loads(invoke(*fetch, "--json").stdout)
    assert (again["folder"], again["every"], named) == (None, "f/pages", "f/pages")
    done = invoke("lists", "import", "--partner", "p", "--store", "store", named, "--json")
    assert json.loads(done.stdout)["total"] == 2
    assert "DIR/pages" in invoke("lists", "fetch", "--help").stdout


@pytest.mark.parametrize("kind", ["ncmec", "stopncii"])
def test_fetching_needs_credentials(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INGESTGATE_NCMEC_USER", raising=False)
    monkeypatch.delenv("INGESTGATE_STOPNCII_FUNCTION_KEY", raising=False)
    url = "https://hashes.invalid"
    result = invoke("lists", "fetch", "--exchange", kind, "--from", url, "--to", "f")
    assert (result.exit_code, "credentials are missing: set" in result.stderr) == (2, True)


def test_a_version_that_is_there_is_compiled_again_without_a_change(tmp_path: Path) -> None:
    Path("md5.txt").write_text("0123456789abcdef0123456789abcdef\n")
    command = ("lists", "compile", "--id", "a", "--to", "lists", "--list-version", "1")
    assert invoke(*command, "--issued", "2026-01-05", "md5=md5.txt").exit_code == 0
    before = Path("lists/a-1/list.json").read_bytes()
    assert json.loads(before)["issued"].startswith("2026-01-05T00:00:00")
    assert invoke(*command, "md5=md5.txt").exit_code == 0
    assert Path("lists/a-1/list.json").read_bytes() == before
    Path("md5.txt").write_text("1123456789abcdef0123456789abcdef\n")
    other = invoke(*command, "md5=md5.txt")
    assert other.exit_code == 3
    assert "is there already with other content" in other.output
