"""Which column of a partner's table is what: ``value=Hash,type=HashType`` or a YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.formats.fields import Fields
from ingestgate.blocklists.formats.record import Record, Value
from ingestgate.blocklists.signals import signal_types

_ROLES = ("value", "type", "id", "category", "feedback", "modified", "deleted")


@dataclass(frozen=True)
class ColumnMapping:
    """Which column is what.

    Attributes:
        columns: Column by role: ``value`` and ``type`` (which the value is of), ``id``,
            ``category``, ``feedback``, ``modified``, ``deleted``; or by the name of a signal
            type, where a column holds values of that type alone.
        types: Signal type by the partner's name of it, where that is another.
        signal_type: What values are of when there is no column that says so.
    """

    columns: Mapping[str, str]
    types: Mapping[str, str] = field(default_factory=dict)
    signal_type: str = ""

    def __post_init__(self) -> None:
        known = set(signal_types())
        if unknown := sorted(set(self.columns) - known - set(_ROLES)):
            raise UsageError(
                f"column mapping: {unknown[0]!r} is neither a signal type nor one of "
                f"{', '.join(_ROLES)}"
            )
        if unknown := sorted(set(self.types.values()) - known):
            raise UsageError(f"column mapping: no signal type {unknown[0]!r}")
        if not known & set(self.columns) and "value" not in self.columns:
            raise UsageError("column mapping: no column for the value, nor for a signal type")
        if "value" in self.columns and not ("type" in self.columns or self.signal_type):
            raise UsageError(
                "column mapping: nothing says of which signal type the values are; give a column "
                "for the type, or --type"
            )

    def record(self, fields: Fields) -> Record:
        """Returns the record one row holds.

        Raises:
            ListError: The row lacks a column, or a field is not what it must be.
        """
        for column in self.columns.values():
            if column not in fields:
                raise fields.refuse(column, "no such column")
        tombstone = self._has("deleted") and fields.truth(self.columns["deleted"])
        entry_id = fields.identifier(self.columns["id"]) if self._has("id") else ""
        values = [
            Value(role, text, column)
            for role, column in self.columns.items()
            if role not in _ROLES and (text := fields.text(column))
        ]
        if self._has("value") and not (tombstone and entry_id):
            column = self.columns["value"]
            name = self.signal_type
            if self._has("type"):
                name = fields.text(self.columns["type"], required=True)
            values.append(Value(self.types.get(name, name), fields.text(column), column))
        if not any(value.text for value in values) and not (tombstone and entry_id):
            raise fields.refuse("row", "no value in any column that is to hold one")
        return Record(
            fields.place,
            values=tuple(values),
            entry_id=entry_id,
            category=self._text(fields, "category"),
            feedback=self._text(fields, "feedback"),
            modified=fields.modified(self.columns["modified"]) if self._has("modified") else None,
            tombstone=tombstone,
        )

    def _has(self, role: str) -> bool:
        return role in self.columns

    def _text(self, fields: Fields, role: str) -> str:
        return fields.text(self.columns[role]) if role in self.columns else ""


def parse_mapping(text: str, signal_type: str = "") -> ColumnMapping:
    """Returns a mapping out of what ``--map`` was given.

    Args:
        text: ``role=column`` pairs with commas between them, or the path of a YAML file whose
            mapping has the roles as keys, and under ``types`` the partner's names of types.
        signal_type: What values are of when there is no column for the type.

    Raises:
        UsageError: It is neither, or it does not fit together.
        StorageError: The file cannot be read.
    """
    if text.endswith((".yaml", ".yml")):
        return _from_yaml(text, signal_type)
    pairs = [pair.partition("=") for pair in text.split(",")]
    columns = {role.strip(): column.strip() for role, _, column in pairs}
    if not all(columns.values()) or len(columns) < len(pairs):
        raise UsageError(f"column mapping {text!r}: wants role=column[,role=column...], each once")
    return ColumnMapping(columns, signal_type=signal_type)


def _from_yaml(path: str, signal_type: str) -> ColumnMapping:
    try:
        content: Any = yaml.safe_load(storage.read_bytes(path))
    except yaml.YAMLError:
        raise UsageError(f"{path}: not YAML") from None
    types = content.pop("types", {}) if isinstance(content, dict) else {}
    for mapping in (content, types):
        if not isinstance(mapping, dict) or not all(
            isinstance(part, str) for pair in mapping.items() for part in pair
        ):
            raise UsageError(f"{path}: wants role: column lines, and types with names below it")
    return ColumnMapping(content, types, signal_type)
