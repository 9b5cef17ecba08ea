"""The container formats by name: those built in, and third parties' through entry points.

A package adds a format by registering a class without constructor arguments under the entry
point group ``ingestgate.containers``; the entry point's name is the format's.
"""

import importlib
from functools import cache
from importlib.metadata import entry_points

from ingestgate.assets.containers.container import RowContainer, SampleContainer
from ingestgate.assets.errors import UsageError

GROUP = "ingestgate.containers"

_HERE = "ingestgate.assets.containers"
# By module and class, so that naming a format loads that format's libraries only.
_BUILT_IN = {
    "folder": (f"{_HERE}.image_folder", "ImageFolder"),
    "img2dataset": (f"{_HERE}.img2dataset", "Img2Dataset"),
    "parquet": (f"{_HERE}.parquet", "ParquetImages"),
    "url-manifest": (f"{_HERE}.url_manifest", "UrlManifest"),
    "webdataset": (f"{_HERE}.webdataset", "WebDataset"),
}


def names() -> list[str]:
    """Returns the names of all formats, sorted."""
    return sorted({*_BUILT_IN, *entry_points(group=GROUP).names})


@cache
def container(name: str) -> SampleContainer | RowContainer:
    """Returns a format by its name.

    Raises:
        UsageError: There is none of that name, or a third party's is not a container.
    """
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name]
        made = getattr(importlib.import_module(module), attribute)()
    else:
        found = tuple(entry_points(group=GROUP, name=name))
        if len(found) != 1:
            known = ", ".join(names())
            problem = "is registered more than once" if found else "is not a format"
            raise UsageError(f"{name!r} {problem}; known formats: {known}")
        try:
            made = found[0].load()()
        except (ImportError, AttributeError, TypeError) as error:
            raise UsageError(f"format {name!r} cannot be loaded: {error}") from error
    if not isinstance(made, SampleContainer | RowContainer):
        raise UsageError(f"format {name!r} is neither a sample container nor a row container")
    return made
