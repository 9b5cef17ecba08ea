"""Published test vectors of others, by the code that matches and lints.

    python -m benchmarks.vectors [--url urltestdata.json] [--to-ascii toascii.json]
        [--psl public_suffix_list.dat --psl-tests test_psl.txt] [--json]

The URL Standard's ``urltestdata.json`` and ``toascii.json`` (web-platform-tests): a web address
that fails to parse has to be a bad source, and any other has to have the host, the path and the
query that are expected, but for what is canonicalised further (dots, IPv4-mapped addresses,
percent-encoding, slashes). What has no host (``data:``, ``file:``) has to be a bad source. Of
``urltestdata.json`` do not apply, and are counted by why:

- what is relative to a base: a source is read on its own;
- what has no scheme, which fails there and is read as ``http://`` here;
- what has a host and a scheme that is none of the web's: its host is read here as http's would
  be, and stays as it is spelled there.

The Public Suffix List's ``test_psl.txt``: the registrable domain of each name. Names the cases
that are wrong.
"""

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from ingestgate.blocklists.public_suffixes import PublicSuffixes
from ingestgate.blocklists.sources import BadSource, Source, parse_source, url_expression

_WEB = re.compile(r"[\x00-\x20]*(https?|ftp|wss?)\s*:", re.IGNORECASE)
_WHOLE = re.compile(_WEB.pattern + r"[\t\r\n]*[/\\][\t\r\n]*[/\\]", re.IGNORECASE)
_SCHEME = re.compile(r"[\x00-\x20]*[a-z][a-z0-9+.\-\t\r\n]*:", re.IGNORECASE)
_PSL_CASE = re.compile(r"checkPublicSuffix\((null|'(.*)'), (null|'(.*)')\);")


class Outcome(NamedTuple):
    """One case: its input, what it has to give, what it gives; None stands for a failure."""

    case: str
    expected: str | None
    found: str | None


def canonical(host: str) -> str | None:
    """Returns a host as a browser has it in the further form that lists are matched in.

    None if without its dots it is neither a name nor an address.
    """
    if host.startswith("["):
        mapped = ipaddress.IPv6Address(host[1:-1]).ipv4_mapped
        return str(mapped) if mapped else host
    tidy = re.sub(r"\.{2,}", ".", host.strip("."))
    return tidy if tidy == host else found_host(f"http://{tidy}/")


def found_host(text: str) -> str | None:
    """Returns the host of a source, or None if it is bad."""
    try:
        return parse_source(text).host
    except BadSource:
        return None


def url_outcomes(path: Path, excluded: Counter[str]) -> Iterator[Outcome]:
    """Yields the cases of ``urltestdata.json`` that apply.

    Args:
        path: The file.
        excluded: Takes how many do not, by why.
    """
    for case in json.loads(path.read_text("utf-8")):
        if not isinstance(case, dict):
            continue  # a remark
        text = case["input"]
        if reason := why_excluded(case):
            excluded[reason] += 1
        elif case.get("failure") or not case["hostname"]:
            yield Outcome(text, None, found_host(text))
        else:
            yield Outcome(text, expected_form(case), found_form(text))


def why_excluded(case: Mapping[str, Any]) -> str:
    """Returns why a case of ``urltestdata.json`` does not apply, or ""."""
    text = case["input"]
    if case.get("base") and not _WHOLE.match(text):
        return "relative to a base"
    if not _SCHEME.match(text):
        return "without a scheme"
    if not _WEB.match(text) and (case.get("failure") or case["hostname"]):
        return "a host under another scheme"
    return ""


def expected_form(case: Mapping[str, Any]) -> str | None:
    """Returns the expression that the parts of a case have in the further form of lists."""
    host = canonical(case["hostname"])
    if host is None:
        return None
    return repr(url_expression(Source(host, case["pathname"], case["search"][1:])))


def found_form(text: str) -> str | None:
    """Returns the expression of a source, or None if it is bad."""
    try:
        return repr(url_expression(parse_source(text)))
    except BadSource:
        return None


def ascii_outcomes(path: Path) -> Iterator[Outcome]:
    """Yields the cases of ``toascii.json``, each as the host of a URL."""
    for case in json.loads(path.read_text("utf-8")):
        if isinstance(case, dict):
            expected = case["output"] and canonical(case["output"])
            text = f"https://{case['input']}/x"
            yield Outcome(text, expected or None, found_host(text))


def registrable(suffixes: PublicSuffixes, host: str) -> str | None:
    """Returns the public suffix of a canonical host name and the label before it, if any."""
    suffix = suffixes.suffix(host)
    if host == suffix:
        return None
    return host.removesuffix(f".{suffix}").rpartition(".")[2] + f".{suffix}"


def suffix_outcomes(rules: Path, tests: Path) -> Iterator[Outcome]:
    """Yields the cases of ``test_psl.txt``, hosts as the parser of sources leaves them."""
    suffixes = PublicSuffixes.read(str(rules))
    for line in tests.read_text("utf-8").splitlines():
        match = _PSL_CASE.fullmatch(line.strip())
        if match is None or match[2] is None or match[2].startswith("."):
            continue  # a source's host never begins with a dot
        host = found_host(f"https://{match[2]}/")
        expected = match[4] and found_host(f"https://{match[4]}/")
        yield Outcome(match[2], expected, host and registrable(suffixes, host))


@click.command()
@click.option("--url", type=click.Path(exists=True, path_type=Path))
@click.option("--to-ascii", type=click.Path(exists=True, path_type=Path))
@click.option("--psl", type=click.Path(exists=True, path_type=Path))
@click.option("--psl-tests", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def main(
    url: Path | None,
    to_ascii: Path | None,
    psl: Path | None,
    psl_tests: Path | None,
    as_json: bool,
) -> None:
    """Counts."""
    outcomes: dict[str, list[Outcome]] = {}
    excluded: Counter[str] = Counter()
    if url:
        outcomes["url"] = list(url_outcomes(url, excluded))
    if to_ascii:
        outcomes["to_ascii"] = list(ascii_outcomes(to_ascii))
    if psl and psl_tests:
        outcomes["public_suffixes"] = list(suffix_outcomes(psl, psl_tests))
    if not outcomes:
        raise click.UsageError("nothing to count: give --url, --to-ascii, or --psl and --psl-tests")
    result: dict[str, Any] = {}
    for name, cases in outcomes.items():
        wrong = [one._asdict() for one in cases if one.expected != one.found]
        result[name] = {"right": len(cases) - len(wrong), "wrong": wrong}
    if excluded:
        result["url"]["excluded"] = dict(sorted(excluded.items()))
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, counted in result.items():
        click.echo(f"{name}: {counted['right']} right, {len(counted['wrong'])} wrong")
        for reason, count in counted.get("excluded", {}).items():
            click.echo(f"  do not apply: {count} {reason}")
        for case in counted["wrong"]:
            click.echo(f"  {case['case']!r}: {case['found']!r}, not {case['expected']!r}")


if __name__ == "__main__":
    main()
