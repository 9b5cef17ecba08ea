"""Fields of JSON objects and table rows, as text, checked: wrong ones refuse the file."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.entries import FieldError
from ingestgate.blocklists.formats.record import microseconds

_TRUE = frozenset({"1", "true", "yes", "y", "deleted", "withdrawn", "removed"})
_FALSE = frozenset({"", "0", "false", "no", "n", "active"})
_EXACT = 1 << 53  # from here on, floats stand for several integers


class Fields:
    """The fields of one record.

    Args:
        path: The file, for messages.
        place: Where in it the record stands.
        values: The fields by name.
    """

    def __init__(self, path: str, place: str, values: Mapping[str, Any]) -> None:
        self.path, self.place, self._values = path, place, values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def is_array(self, name: str) -> bool:
        """Whether a field is an array."""
        return isinstance(self._values.get(name), list)

    def refuse(self, name: str, problem: str) -> ListError:
        """Returns the error that says what is wrong with a field."""
        return ListError(f"{self.path}, {self.place}, {name}: {problem}")

    def text(self, name: str, *, required: bool = False) -> str:
        """Returns a field as text without blanks around it; "" if absent or null.

        Raises:
            ListError: It is an array or an object, or required and empty.
        """
        value = self._values.get(name)
        if isinstance(value, bytes):  # a digest as Parquet has it
            value = value.hex()
        if value is not None and not isinstance(value, str | int | float):
            raise self.refuse(name, "not text")
        text = "" if value is None else str(value).strip()
        if required and not text:
            raise self.refuse(name, "empty or not there")
        return text

    def identifier(self, name: str, *, required: bool = False) -> str:
        """Returns a field that tells entries apart, as text; "" if absent or null.

        Whole numbers are one identifier however they are written (7, 7.0).

        Raises:
            ListError: As for `text`; or it is a number that is not whole (NaN, say), or so large
                that others are written alike.
        """
        value = self._values.get(name)
        if not isinstance(value, float):
            return self.text(name, required=required)
        if not (value.is_integer() and abs(value) < _EXACT):
            raise self.refuse(
                name,
                "not a whole number, or one too large to be told from its neighbours; wants text "
                "or integers",
            )
        return str(int(value))

    def modified(self, name: str) -> int | None:
        """Returns a time in microseconds since 1970; None if absent.

        Raises:
            ListError: It is not a time.
        """
        value = self._values.get(name)
        # A date as Parquet has it; a datetime is one, too.
        text = value.isoformat() if isinstance(value, date) else self.text(name)
        try:
            return microseconds(text) if text else None
        except FieldError as error:
            raise self.refuse(name, str(error)) from None

    def truth(self, name: str) -> bool:
        """Returns a boolean, which partners write in many ways; False if absent.

        Raises:
            ListError: It is none of those ways.
        """
        text = self.text(name).lower()
        if text not in _TRUE | _FALSE:
            raise self.refuse(name, "neither true nor false")
        return text in _TRUE

    def array(self, name: str) -> list[str]:
        """Returns an array of text; empty if absent or null.

        Raises:
            ListError: It is something else.
        """
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refuse(name, "not an array of text")
        return value

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Returns an array of objects; empty if absent or null.

        Raises:
            ListError: It is something else.
        """
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refuse(name, "not an array of objects")
        return value
