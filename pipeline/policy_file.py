"""Reading a policy file: YAML into a pydantic model, with errors that point at the line."""

import difflib
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ingestgate.assets import storage
from ingestgate.assets.errors import PolicyError, StorageError

#: A policy is a page or two.
MAX_FILE_BYTES = 1 << 20
#: Values after aliases are written out; a small file can stand for billions.
MAX_NODES = 100_000

M = TypeVar("M", bound=BaseModel)


def load_policy(path: str, model: type[M]) -> M:
    """Reads a policy file; an empty one gives the defaults.

    Raises:
        PolicyError: It cannot be read, is not YAML, or is not what the model allows. One line
            per problem: ``FILE:LINE: key.key: what is wrong (what is allowed)``.
    """
    root = _compose(path, _read(path))
    problems = [f"{path}:{line}: {what}" for line, what in _duplicates(root)] if root else []
    if problems:
        raise PolicyError("\n".join(problems))
    data = _construct(path, root) if root else None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise PolicyError(f"{path}:1: a policy is a mapping of keys to values")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        lines = ((_line(root, detail), _problem(model, detail)) for detail in details)
        raise PolicyError(
            "\n".join(f"{path}:{line}: {what}" for line, what in sorted(lines))
        ) from error


def _read(path: str) -> str:
    try:
        with storage.open_read(path) as source:
            raw = source.read(MAX_FILE_BYTES + 1)
    except (OSError, StorageError) as error:
        raise PolicyError(f"{path}: the policy file cannot be read ({error})") from error
    if len(raw) > MAX_FILE_BYTES:
        raise PolicyError(f"{path}: too large for a policy ({MAX_FILE_BYTES} bytes at most)")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text, at byte {error.start}") from error


def _compose(path: str, text: str) -> yaml.Node | None:
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise PolicyError(f"{path}:{_line_of(error)}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PolicyError(f"{path}:{line}: not YAML: {error.reason}") from error
    except RecursionError as error:
        raise PolicyError(f"{path}: nested too deeply for a policy") from error
    if root is not None and _weight(path, root, {}, ()) > MAX_NODES:
        raise PolicyError(f"{path}: its aliases stand for more than {MAX_NODES} values")
    return root


def _construct(path: str, root: yaml.Node) -> Any:
    try:
        return yaml.SafeLoader("").construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise PolicyError(f"{path}:{_line_of(error)}: {error.problem}") from error
    except _BAD_SCALAR as error:
        line = next((node.start_mark.line + 1 for node in _scalars(root) if _is_bad(node)), 1)
        raise PolicyError(f"{path}:{line}: a value that is not of its YAML type") from error


#: What PyYAML's constructors leak for `2001-99-99`, `!!bool x`, `!!timestamp x`.
_BAD_SCALAR = (ValueError, KeyError, AttributeError)


def _scalars(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    for child in _children(node):
        yield from _scalars(child)


def _is_bad(node: yaml.Node) -> bool:
    try:
        yaml.SafeLoader("").construct_document(node)
    except _BAD_SCALAR:
        return True
    return False


def _weight(path: str, node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Returns how many values a node stands for once aliases are written out."""
    if id(node) in above:
        line = node.start_mark.line + 1
        raise PolicyError(f"{path}:{line}: an alias that stands for itself")
    if id(node) not in known:
        below = (_weight(path, child, known, (*above, id(node))) for child in _children(node))
        known[id(node)] = 1 + sum(below)
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _duplicates(root: yaml.Node) -> list[tuple[int, str]]:
    """Returns the line and name of each key that a mapping has twice (YAML keeps the last)."""
    found: dict[tuple[int, str], None] = {}
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += _children(node)
        if isinstance(node, yaml.MappingNode):
            first: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                line = key.start_mark.line + 1
                name = (key.tag, str(key.value))
                if name in first:
                    found[line, f"{key.value}: is there already, in line {first[name]}"] = None
                first.setdefault(name, line)
    return sorted(found)


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return int(mark.line) + 1 if mark is not None else 1


def _line(root: yaml.Node | None, detail: ErrorDetails) -> int:
    """Returns the line of the key or item that an error is about, or the nearest above it."""
    line, node = 1, root
    for step in detail["loc"]:
        if isinstance(node, yaml.MappingNode):
            # The last wins, also against what a merge key (`<<`) brought in before it.
            pairs = [(key, value) for key, value in node.value if key.value == str(step)]
            if not pairs:
                break
            key, node = pairs[-1]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _problem(model: type[BaseModel], detail: ErrorDetails) -> str:
    path = detail["loc"]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
    if detail["type"] == "extra_forbidden":
        known = sorted(_keys(model, path[:-1]))
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{where}: unknown key ({hint}known: {', '.join(known)})"
    if detail["type"] == "missing":
        return f"{where}: is missing (required)"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    allowed = message[:1].lower() + message[1:]
    given = detail["input"]
    if isinstance(given, dict | list):  # it is what is in it that is not allowed, as a rule
        return f"{where or 'policy'}: {allowed}"
    plain = isinstance(given, str | int | float)
    what = repr(str(given)[:60]) if plain else "an empty value" if given is None else "this value"
    if isinstance(given, str) and detail["type"].endswith("_type"):
        what = f"the text {what}"  # in quotes, "5" is none of the numbers
    return f"{where or 'policy'}: {what} is not allowed ({allowed})"


def _keys(model: type[BaseModel], path: Sequence[int | str]) -> set[str]:
    """Returns the keys that are allowed at a path below a model."""
    here: set[Any] = {model}
    for step in path:
        below: set[Any] = set()
        for annotation in here:
            if _is_model(annotation):
                fields = annotation.model_fields.items()
                below |= {f.annotation for name, f in fields if step in (name, f.alias)}
            else:  # of a dict or list, the values' type
                below |= set(get_args(annotation)[-1:])
        here = {part for annotation in below for part in _alternatives(annotation)}
    fields = [item for part in here if _is_model(part) for item in part.model_fields.items()]
    return {field.alias or name for name, field in fields}


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yields the members of a union (a lone type is its own), without `Annotated`."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
