"""The page of figures, and its plots, from the file of results.

    python -m benchmarks.page [FILE]

writes ``README.md`` and ``*.svg`` beside the results. Every figure on the page is computed from
them.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: What the cost per billion images stands on: one virtual CPU for an hour, on demand, in dollars.
#: An assumption; put your own price in its place.
_PRICE = 0.05

_INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks` from `results.json`; do not edit by hand. Measure on your own
machine:

```sh
make bench IMAGES=DIR    # a folder of benign pictures; without it the demo's photographs
python -m benchmarks --only gate --images DIR    # one of them again, in make bench's environment
```

`DIR` holds JPEG, PNG and other pictures. The figures below are of those of 961 photographs,
drawings and wallpapers that are opaque and at least half as large as what is measured, and of parts
of them where there are too few, resized to it. Ratios are of one run, on the same pictures, by CPU
time unless it says otherwise, as the machine's cores are shared; a dash is a peer that was not
installed or takes too long. Memory is resident, of the largest process.
"""


def write_page(results: dict[str, Any], to: Path) -> None:
    """Writes the page and its plots.

    Args:
        results: As ``results.json`` holds them.
        to: Folder.
    """
    found = {
        name: one["figures"] for name, one in results["benchmarks"].items() if "figures" in one
    }
    machine = results["machine"]
    parts = [
        _INTRODUCTION,
        f"Measured on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}, "
        f"Python {machine['python']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + ".\n",
    ]
    if results["small"]:
        parts.append("**A trial at small sizes: not figures.**\n")
    for name, section in _SECTIONS.items():
        if name in found:
            parts.append(section(found, to))
    parts.append("## Commands\n")
    parts.append(
        _table(
            ("benchmark", "command", "minutes", "measured"),
            [
                (
                    name,
                    f"`{one['command']}`",
                    f"{one['seconds'] / 60:.0f}",
                    one["measured_at"][:10],
                )
                for name, one in results["benchmarks"].items()
            ],
        )
    )
    (to / "README.md").write_text("\n".join(parts))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _gate(found: dict[str, Any], to: Path) -> str:
    rows = []
    for name in ("gate", "gate_mixed_formats", "gate_10_million"):
        for one in found.get(name, {}).get("results", ()):
            rows.append(
                (
                    *(one["side"], one["formats"], one["workers"], one["entries"]),
                    *(one["ms_per_image_limit"], one["ms_per_image"]),
                    f"{100 * one['share_of_decode_limit']:.0f} %",
                    *(one["times_plain_loop"], one["times_naive_beam"]),
                    *(one["times_imagededup"], one["times_perception"]),
                    one["images_per_second"],
                )
            )
    head = (
        *("px", "formats", "workers", "entries", "decode, ms", "gate, ms", "share of limit"),
        *("plain loop", "naive Beam", "imagededup", "perception", "images/s by the clock"),
    )
    first = found["gate"]["results"][0]
    distinct = {one["side"]: one["distinct"] for one in found["gate"]["results"]}
    many = " and ".join(f"{count} of {side:,} px" for side, count in distinct.items())
    return (
        "## The whole gate\n\n"
        "A run from the landing zone to admitted shards, per image; decoding the same files to "
        "gray is the limit. The columns of peers say how many times as long they take. The plain "
        "loop matches against the same list; imagededup and perception only hash. There were "
        f"{many}, each landing several times, but no two alike side by side.\n\n"
        + _table(head, rows)
        + f"\nA run costs {first['start_cpu_seconds']} s of CPU ({first['start_seconds']} s by the "
        "clock) before its first image.\n\n" + _cost(found)
    )


def _cost(found: dict[str, Any]) -> str:
    sizes = {one["side"]: one["ms_per_image"] for one in found["gate"]["results"][::-1]}
    said = "; ".join(
        f"{side} px: {1e9 * ms / 1000 / 3600:,.0f} core hours, "
        f"{1e9 * ms / 1000 / 3600 * _PRICE:,.0f} dollars"
        for side, ms in sorted(sizes.items())
    )
    return (
        f"**A billion images**, from the figures above: {said}. Assumed: a core here is one of "
        f"theirs, at {_PRICE} dollars an hour; workers are kept busy; storage and transfer are not "
        "counted.\n"
    )


def _fingerprints(found: dict[str, Any], _: Path) -> str:
    sizes = found["fingerprints"]
    one = next(iter(sizes.values()))
    rows: list[tuple[object, ...]] = [
        ("**ingestgate, all of it**", *(each["times_decode"] for each in sizes.values()))
    ]
    for kind in ("parts", "peers"):
        for name in one[kind]:
            rows.append((name, *(each[kind][name] for each in sizes.values())))
    return (
        "## Fingerprints\n\n"
        "Times Pillow's grayscale decode of the same file: three digests, PDQ in all views and "
        "pHash, both in eight orientations, in the isolated child.\n\n"
        + _table(("", *(f"{side} px" for side in sizes)), rows)
    )


def _matching(found: dict[str, Any], _: Path) -> str:
    rows = []
    for name in ("matching_1_million", "matching_10_million"):
        figures = found.get(name, {})
        for one in (figures, *figures.get("others", ())) if figures else ():
            rows.append(
                (
                    *(one["entries"], one["bits"], one["radius"]),
                    *(one["us_per_query_batch"], one["us_per_query_single"]),
                    *(one["times_flat"], one["times_multihash"], one["times_threatexchange"]),
                    f"{100 * one['recall']:g} %",
                    *(one["open_ms"], one["memory_mb"], one["mapped_mb"]),
                    *(one["compile_s"], one["compile_peak_mb"]),
                )
            )
    head = (
        *("entries", "bits", "radius", "us/query of 1,000", "single", "x Flat", "x MultiHash"),
        *("x threatexchange", "recall", "open, ms", "own MB", "mapped MB"),
        *("compile, s", "peak, MB"),
    )
    return (
        "## Hamming search\n\n"
        "Exact, one core; beside faiss's IndexBinaryFlat and IndexBinaryMultiHash "
        "and threatexchange's index, in batches of 1,000. Recall is held against brute force. Own "
        "memory is a worker's; the mapped files are shared by all.\n\n" + _table(head, rows)
    )


def _sources(found: dict[str, Any], _: Path) -> str:
    one = found["sources"]
    rows: list[tuple[object, ...]] = [
        (
            "matching a column",
            one["urls_per_second"],
            one["urls_per_second_datatrove"],
            one["times_datatrove"],
        ),
    ]
    if "manifests" in found:
        run = found["manifests"]
        rows.append(
            (
                "a whole run over a Parquet manifest",
                run["rows_per_second_per_core"],
                run["rows_per_second_datatrove"],
                run["times_datatrove"],
            )
        )
    return (
        "## Sources\n\n"
        f"URLs a second on one core against {one['listed_domains']:,} listed domains and as many "
        "URLs, beside datatrove's URLFilter.\n\n"
        + _table(("", "ingestgate", "datatrove's filter", "times"), rows)
    )


def _rescan(found: dict[str, Any], _: Path) -> str:
    one = found["rescan"]
    rows = [
        (
            name,
            each["rows"],
            each["assets_per_second_per_core"],
            each["assets_per_cpu_second"],
            each["peak_rss_mb"],
        )
        for name, each in one.items()
        if isinstance(each, dict)
    ]
    return (
        "## Rescan\n\n"
        f"A ledger of {one['assets']:,} assets (PDQ in eight orientations, pHash, digests, "
        f"sources) against {one['delta_entries']:,} new entries per signal type, and against the "
        f"whole list of {one['list_entries']:,}.\n\n"
        + _table(("against", "assets", "assets/s", "assets per CPU second", "peak, MB"), rows)
    )


def _verify(found: dict[str, Any], _: Path) -> str:
    one = found["verify"]
    rows = [
        (name, each["gigabytes_per_second"], each["share_in_memory_before"])
        for name, each in one["ways"].items()
    ]
    return (
        "## Verify\n\n"
        f"What a training job runs first, on {one['bytes'] / 1e9:.1f} GB in {one['files']} files; "
        "beside sha256sum, by the clock.\n\n" + _table(("", "GB/s", "in memory before"), rows)
    )


def _growth(found: dict[str, Any], to: Path) -> str:
    growth = found["growth"]
    assets, entries = growth["assets"], growth["entries"]
    _plot(
        to / "growth-assets.svg",
        "assets",
        [one["assets"] for one in assets],
        {
            "CPU, ms per asset": [1e3 * one["cpu_seconds"] / one["assets"] for one in assets],
            "peak memory, MB": [one["peak_mb"] for one in assets],
        },
    )
    _plot(
        to / "growth-entries.svg",
        "entries",
        [one["entries"] for one in entries],
        {
            "compile, s": [one["compile_s"] for one in entries],
            "us per query": [one["us_per_query"] for one in entries],
            "open, ms": [one["open_ms"] for one in entries],
            "compile, peak MB": [one["compile_peak_mb"] for one in entries],
        },
    )
    return (
        "## Growth\n\n"
        "Runs over small pictures, so that it is what surrounds decoding that is seen; lists of "
        "PDQ hashes at a threshold of 31.\n\n"
        + _table(
            ("assets", "CPU, s", "by the clock, s", "peak, MB"),
            [(o["assets"], o["cpu_seconds"], o["seconds"], o["peak_mb"]) for o in assets],
        )
        + "\n![Time and memory by assets](growth-assets.svg)\n\n"
        + _table(
            ("entries", "compile, s", "peak, MB", "open, ms", "us/query"),
            [tuple(one.values()) for one in entries],
        )
        + "\n![Time and memory by entries](growth-entries.svg)\n"
    )


def _plot(to: Path, axis: str, x: list[int], curves: dict[str, list[float]]) -> None:
    """Draws curves over a logarithmic axis, each in a panel of its own."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ingestgate"  # the same figures, the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(3.2 * len(curves), 2.6))
    for panel, (name, y) in zip(panels, curves.items(), strict=True):
        panel.plot(x, y, marker="o")
        panel.set(xscale="log", xlabel=axis, title=name, ylim=(0, 1.15 * max(y)))
        panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(to, metadata={"Date": None})
    pyplot.close(figure)


def _isolation(found: dict[str, Any], _: Path) -> str:
    measured = found["isolation"]
    rows = [
        (int(side), how.replace("_", " "), one["in_process_ms"], one["isolated_ms"], one["ratio"])
        for side, ways in measured["pixels"].items()
        for how, one in ways.items()
        if isinstance(one, dict)
    ]
    head = ("px", "judged", "in the same process, ms", "isolated, ms", "times")
    return (
        "## Isolation\n\nJudging with the decoder in a process of its own, beside judging with it "
        f"in the same process; what confined it is in `results.json`.\n\n{_table(head, rows)}"
    )


_SECTIONS = {
    "gate": _gate,
    "fingerprints": _fingerprints,
    "isolation": _isolation,
    "matching_1_million": _matching,
    "sources": _sources,
    "rescan": _rescan,
    "verify": _verify,
    "growth": _growth,
}


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "results.json"
    write_page(json.loads(path.read_text()), path.parent)
