"""What file systems raise, turned into errors that say what happened and where."""

import errno
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from ingestgate.assets.errors import GateError, StorageError
from ingestgate.assets.storage.paths import is_partial, is_remote

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def explaining(path: str) -> Iterator[None]:
    """Turns what file systems raise into a StorageError that says what and where."""
    try:
        yield
    except GateError:
        raise
    except (OSError, ValueError) as error:
        raise explain(error, path) from error
    except Exception as error:
        # The clients of object stores raise classes of their own.
        if is_remote(path):
            raise explain(error, path) from error
        raise


def explained(function: Callable[Concatenate[str, P], R]) -> Callable[Concatenate[str, P], R]:
    """Makes what a function raises about the path that it is given first a StorageError."""

    @functools.wraps(function)
    def wrapper(path: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with explaining(path):
            return function(path, *args, **kwargs)

    return wrapper


class ExplainedFile:
    """An open file of a store: what its client raises, at whatever call, is a StorageError.

    Args:
        handle: The file.
        path: What errors call it.
    """

    def __init__(self, handle: Any, path: str) -> None:
        self._handle = handle
        self._path = path

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._handle, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            with explaining(self._path):
                return value(*args, **kwargs)

        return call

    def __enter__(self) -> "ExplainedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        with explaining(self._path):
            yield from self._handle


def explain(error: Exception, path: str) -> StorageError:
    """Returns the StorageError that tells of another error; it names no temporary name."""
    error = _innermost(error)
    named = error.filename if isinstance(error, OSError) else None
    if isinstance(named, str) and not is_partial(named):  # nobody knows a temporary name
        path = named
    what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    advice = ""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "; free some room and run again, finished work is kept"
    elif isinstance(error, PermissionError):
        advice = "; check the permissions"
    elif isinstance(error, OSError) and error.errno == errno.EROFS:
        advice = "; mount it so that it can be written, or name another folder"
    return StorageError(f"{path}: {what}{advice}", path)


def _innermost(error: Exception) -> Exception:
    """Returns what a store's client raised, which Beam wraps, once or twice, as the repr of it."""
    while details := getattr(error, "exception_details", None):
        inner = next(iter(details.values()))
        if not isinstance(inner, Exception) or not str(inner):
            break
        error = inner
    return error
