"""On what the figures were measured: the machine, and the versions of what was measured."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    *("ingestgate", "apache-beam", "numba", "numpy", "pillow", "pyarrow", "can-ada", "pyrage"),
    *("imagehash", "pdqhash", "faiss-cpu", "threatexchange", "perception", "imagededup"),
    *("datatrove", "tldextract"),
)

# An entry, while it is filled.
_MULTIHASH_BYTES = 1500
_THREATEXCHANGE_BYTES = 2500


def machine() -> dict[str, Any]:
    """Returns the processor, the cores that may be used, memory in GB, system and Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = {line.split(": ", 1)[1] for line in lines if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(models)) or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Returns the version of every package that matters and is installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def holds_multihash(entries: int) -> bool:
    """Whether memory is free for faiss's IndexBinaryMultiHash over so many entries."""
    return entries * _MULTIHASH_BYTES < psutil.virtual_memory().available


def holds_threatexchange(entries: int) -> bool:
    """Whether memory is free for threatexchange's index, which is filled from texts."""
    return entries * _THREATEXCHANGE_BYTES < psutil.virtual_memory().available
