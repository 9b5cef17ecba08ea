"""Sources a second against listed domains and URLs, beside datatrove's URLFilter.

    python -m benchmarks.sources [--listed N] [--urls N] [--share SHARE] [--json]

Compiles N domains and N URLs, and matches a column of URLs of which a share is listed (half by
domain, half by URL), one in ten lies on a host that listed URLs lie on, and the rest is neither.
Everything runs on one core, alternately, in the same process; a figure is the median of the
rounds. datatrove is given the same domains and URLs and no list of words. What is found is
compared with parsing every URL.

The peer is no dependency: ``make bench`` installs it, in an environment of its own.
Without it its figures are null.
"""

import contextlib
import gc
import importlib.metadata
import importlib.util
import io
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from ingestgate.blocklists.compiling import compile_list
from ingestgate.blocklists.listset import ListSet

ISSUED = datetime(2025, 1, 1, tzinfo=UTC)
HELP = "make bench installs it, in an environment of its own"
_SEED = 20240
_ROUNDS = 7
_PEER_URLS = 50_000
_CHECKED = 100_000
_WORDS = ("photo", "images", "media", "cdn", "static", "blog", "shop", "news", "gallery", "files")
_SUFFIXES = ("com", "org", "net", "example", "co.uk", "de", "io")
_HOSTS = 50_000  # that listed URLs lie on


def host(rng: random.Random) -> str:
    """Returns a host name that nobody has listed before."""
    name = f"{rng.choice(_WORDS)}-{rng.randrange(36**7):x}.{rng.choice(_SUFFIXES)}"
    return name if rng.random() < 0.5 else f"{rng.choice(_WORDS)}.{name}"


def path(rng: random.Random) -> str:
    """Returns a path, one in four with a query."""
    folders = "/".join(rng.choice(_WORDS) for _ in range(rng.randrange(1, 4)))
    query = f"?w={rng.randrange(2000)}&v={rng.randrange(9)}" if rng.random() < 0.25 else ""
    return f"/{folders}/{rng.randrange(16**10):x}.jpg{query}"


def measure(listed: int, count: int, share: float, to: Path) -> dict[str, Any]:
    """Returns all figures."""
    rng = random.Random(_SEED)
    domains = [host(rng) for _ in range(listed)]
    hosts = [host(rng) for _ in range(min(_HOSTS, listed))]
    pages = [f"https://{rng.choice(hosts)}{path(rng)}" for _ in range(listed)]
    for name, values in (("domain", domains), ("url", pages)):
        (to / f"{name}.txt").write_text("\n".join(values))
    started = time.monotonic()
    compile_list(
        id="sources",
        version=1,
        sources=[(name, str(to / f"{name}.txt")) for name in ("domain", "url")],
        to=str(to / "lists"),
        issued=ISSUED,
    )
    compiled = time.monotonic() - started
    started = time.perf_counter()
    lists = ListSet.open(str(to / "lists"), now=ISSUED, verify=False)
    opened = time.perf_counter() - started

    asked = []
    for _ in range(count):
        kind = rng.random()
        if kind < share / 2:
            asked.append(f"https://{rng.choice(_WORDS)}.{rng.choice(domains)}{path(rng)}")
        elif kind < share:
            asked.append(rng.choice(pages))
        elif kind < share + 0.1:
            asked.append(f"https://{rng.choice(hosts)}{path(rng)}")
        else:
            asked.append(f"https://{host(rng)}{path(rng)}")
    column = pa.array(asked)

    timed: dict[str, Callable[[], tuple[Any, int]]] = {
        "ours": lambda: (lists.match_sources(column, "url"), count)
    }
    if importlib.util.find_spec("datatrove") is not None:
        timed["datatrove"] = datatrove(domains, pages, asked[:_PEER_URLS])
    gc.freeze()  # millions of strings that are there for the benchmark only
    rates: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(_ROUNDS):
        for name, run in timed.items():
            started = time.perf_counter()
            _, done = run()
            rates[name].append(done / (time.perf_counter() - started))
    median = {name: statistics.median(values[1:]) for name, values in rates.items()}  # 1 is cold

    found = lists.match_sources(column.slice(0, _CHECKED), "url").hits
    expected = {
        row: hits
        for row, url in enumerate(asked[:_CHECKED])
        if (hits := lists.match_source(url, "url"))
    }
    peer = median.get("datatrove")
    return {
        "times_datatrove": None if peer is None else round(median["ours"] / peer, 1),
        "urls_per_second": round(median["ours"]),
        "urls_per_second_datatrove": None if peer is None else round(peer),
        "recall": sum(found.get(row) == hits for row, hits in expected.items()) / len(expected),
        "false_hits": len(found.keys() - expected.keys()),
        "listed_domains": listed,
        "listed_urls": listed,
        "urls": count,
        "share_listed": len(expected) / min(count, _CHECKED),
        "open_ms": round(opened * 1e3, 2),
        "compile_s": round(compiled, 1),
    }


def datatrove(
    domains: list[str], pages: list[str], asked: list[str]
) -> Callable[[], tuple[Any, int]]:
    """Returns a run of datatrove's filter over documents made beforehand."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import tldextract
        from datatrove.data import Document
        from datatrove.pipeline.filters import URLFilter

        filtering = URLFilter(extra_domains=domains, extra_urls=pages, use_integrated_lists=False)
    filtering.tldextractor = tldextract.TLDExtract(suffix_list_urls=())  # it would fetch one
    documents = [Document(text="", id="", metadata={"url": url}) for url in asked]

    def run() -> tuple[Any, int]:
        return [filtering.filter(document) for document in documents], len(documents)

    return run


@click.command(help=__doc__)
@click.option("--listed", type=click.IntRange(1), default=1_000_000)
@click.option("--urls", type=click.IntRange(1000), default=1_000_000)
@click.option("--share", type=click.FloatRange(0, 0.9), default=0.001, help="Listed.")
@click.option("--json", "as_json", is_flag=True)
def main(listed: int, urls: int, share: float, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = measure(listed, urls, share, Path(folder))
    report["seed"] = _SEED
    report["versions"] = {
        package: importlib.metadata.version(package)
        for package in ("pyarrow", "numba", "can-ada", "datatrove", "tldextract")
        if importlib.util.find_spec(package.replace("-", "_"))
    }
    if report["times_datatrove"] is None:
        print(f"datatrove is not installed: {HELP}", file=sys.stderr)
    print(json.dumps(report) if as_json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
