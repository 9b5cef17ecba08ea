"""Two toy file systems for Beam, so that tests reach what lies beyond local paths.

``teststore://`` is an object store: flat names, no directories, renaming copies and deletes,
and an object appears when its writer is closed. ``testtree://`` is like HDFS: directories that
are listed one level at a time, and a rename that refuses to replace. Both keep their bytes in
the directory that the environment variable names, so that worker processes which import this
module see the same files.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

ROOT_VARIABLE = "INGESTGATE_TEST_STORE"


class ClientError(Exception):
    """What a store's client raises: no OSError, as with the real ones."""


class _Upload(io.BytesIO):
    """Bytes that become an object when closed."""

    def __init__(self, target: Path, check: Callable[[str], None]) -> None:
        super().__init__()
        self._target, self._check = target, check

    def write(self, content: Any) -> int:
        if not self.tell():
            self._check("write")
        return super().write(content)

    def close(self) -> None:
        if self.closed:
            return
        content = self.getvalue()
        super().close()
        self._check("upload")
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._target.write_bytes(content)
        self._check("uploaded")


class _Download(io.FileIO):
    """An object that is fetched when it is first read."""

    def __init__(self, source: Path, check: Callable[[str], None]) -> None:
        super().__init__(source)
        self._check, self._fetched = check, False

    def read(self, size: int | None = -1) -> bytes:
        self._fetch()
        content = super().read(-1 if size is None else size)
        assert content is not None
        return content

    def readinto(self, buffer: Any) -> int:
        self._fetch()
        count = super().readinto(buffer)
        assert count is not None
        return count

    def _fetch(self) -> None:
        if not self._fetched:
            self._check("read")
        self._fetched = True


class ObjectStore(FileSystem):
    """``teststore://bucket/name``."""

    SCHEME: ClassVar[str] = "teststore"
    #: Names of operations that fail, for tests to fill.
    failing: ClassVar[set[str]] = set()

    def __init__(self, pipeline_options: Any) -> None:
        super().__init__(pipeline_options)
        if pipeline_options is None:  # S3 and HDFS refuse that, too
            raise ValueError("pipeline_options is not set")

    @classmethod
    def scheme(cls) -> str:
        return cls.SCHEME

    def _root(self) -> Path:
        root = Path(os.environ[ROOT_VARIABLE]) / self.SCHEME
        root.mkdir(exist_ok=True)
        return root

    def _file(self, path: str) -> Path:
        return self._root() / quote(path.removeprefix(f"{self.SCHEME}://"), safe="")

    def _check(self, operation: str, path: str) -> None:
        if operation in self.failing:
            raise ClientError(f"{operation} refused")

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        pass

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        self._check("list", dir_or_prefix)
        for file in self._root().iterdir():
            path = f"{self.SCHEME}://{unquote(file.name)}"
            if path.startswith(dir_or_prefix):
                yield self._status(path)

    def create(self, path: str, mime_type: Any = None, compression_type: Any = None) -> Any:
        self._check("create", path)
        return _Upload(self._file(path), lambda operation: self._check(operation, path))

    def open(self, path: str, mime_type: Any = None, compression_type: Any = None) -> Any:
        self._check("open", path)
        if not self._file(path).is_file():
            raise ClientError("no such object")
        return _Download(self._file(path), lambda operation: self._check(operation, path))

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            shutil.copyfile(self._file(source), self._file(target))

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self._check("rename", source_file_names[0])
        self.copy(source_file_names, destination_file_names)
        self._check("copied", source_file_names[0])
        for source in source_file_names:
            self._file(source).unlink()
        self._check("renamed", source_file_names[0])

    def exists(self, path: str) -> bool:
        if not self.has_dirs() and "/" not in path.removeprefix(f"{self.SCHEME}://").rstrip("/"):
            raise ValueError("names no object")  # as the clients of real ones do
        self._check("exists", path)
        return self._file(path).exists()

    def size(self, path: str) -> int:
        return int(self.metadata(path).size_in_bytes)

    def last_updated(self, path: str) -> float:
        return float(self.metadata(path).last_updated_in_seconds)

    def metadata(self, path: str) -> FileMetadata:
        self._check("metadata", path)
        return self._status(path)

    def _status(self, path: str) -> FileMetadata:
        file = self._file(path)
        if not file.exists():
            raise BeamIOError(f"not found: {path}")
        status = file.stat()
        return FileMetadata(path, 0 if file.is_dir() else status.st_size, status.st_mtime)

    def delete(self, paths: list[str]) -> None:
        # As Beam's client for one big store does: every path is taken for a pattern.
        for path in paths:
            self._check("delete", path)
            for metadata in self.match([path])[0].metadata_list:
                self._file(metadata.path).unlink()
            self._check("deleted", path)


class TreeStore(ObjectStore):
    """``testtree://host/directory/name``."""

    SCHEME: ClassVar[str] = "testtree"

    def _file(self, path: str) -> Path:
        return self._root() / path.removeprefix(f"{self.SCHEME}://").strip("/")

    def has_dirs(self) -> bool:
        return True

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        self._check("list", dir_or_prefix)
        directory = self._file(dir_or_prefix)
        if not directory.exists():
            raise BeamIOError(f"does not exist: {dir_or_prefix}")
        if not directory.is_dir():
            raise BeamIOError(f"not a directory: {dir_or_prefix}")
        for file in directory.iterdir():
            yield self._status(self.join(dir_or_prefix, file.name))

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self._check("rename", source)
            if self._file(target).exists():
                raise BeamIOError(f"exists: {target}")
            self._file(source).rename(self._file(target))
            self._check("renamed", source)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self._check("delete", path)
            file = self._file(path)
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink()
            self._check("deleted", path)
