"""Fetches what a partner offers: page by page into a dated folder, from a checkpoint on.

The checkpoint moves only when a window of time is exhausted, for pages do not come in the order
of time. A window that was cut short is taken up at the page it got to, as the same window::

    FOLDER/checkpoint.json
    FOLDER/pages/20260131T060000Z/page-000001.xml

Pages are what partners sent in confidence: 0600. ``FOLDER/pages`` is what ``lists import`` takes,
in the order of names: so each window has a folder of its own, whose name comes after the others.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ingestgate.assets import storage
from ingestgate.assets.errors import ListError, UsageError
from ingestgate.blocklists.locking import alone
from ingestgate.blocklists.manifest import utc_seconds

CHECKPOINT = "checkpoint.json"
PAGES = "pages"
MAX_PAGES = 100_000  # of a window
_NAME = "%Y%m%dT%H%M%SZ"
_NAMED = r"[0-9]{8}T[0-9]{6}Z"


class Window(BaseModel):
    """A span that is fetched, and how far.

    Attributes:
        until: Its end: when it was opened; UTC, in seconds.
        pages: Pages that are stored.
        next: Where the next one is, in the exchange's terms; None for the first.
        state: What the exchange wants kept from page to page.
        named: Name of the folder its pages go to, if that is not its end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: datetime
    pages: Annotated[int, Field(ge=0)] = 0
    next: str | None = None
    state: JsonValue = None
    named: Annotated[str, Field(pattern=f"^({_NAMED})?$")] = ""

    @property
    def folder(self) -> str:
        """Name of the folder its pages go to."""
        return self.named or f"{self.until:{_NAME}}"


class Checkpoint(BaseModel):
    """What of an exchange was fetched.

    Attributes:
        exchange: The exchange's own name, so that no other one goes on from here.
        since: What the last exhausted window left, in the exchange's terms; None before it.
        window: The window that is not exhausted, if any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: str
    since: JsonValue = None
    window: Window | None = None


class Page(NamedTuple):
    """One page.

    Attributes:
        content: Its bytes, in parts.
        suffix: How its file's name ends.
        next: Where the next one is; None after the last.
        state: To be kept; after the last page, the checkpoint's new ``since``.
    """

    content: Iterable[bytes]
    suffix: str
    next: str | None
    state: JsonValue


class StaleWindowError(Exception):
    """The exchange no longer knows the place a window got to: it has to be begun anew."""


class UnsettledError(Exception):
    """What a page is of changed while it was read: it is left for a later window."""


class Exchange(Protocol):
    """Where a partner's pages come from."""

    @property
    def name(self) -> str:
        """Says which exchange it is, and where; without credentials."""
        ...

    def page(self, since: JsonValue, window: Window) -> Page | None:
        """Returns the page a window has got to; None if there is nothing new, or no more.

        Raises:
            ListError: The page is not one.
            ExchangeError: The exchange does not answer as it should.
            StaleWindowError: See there; only of pages after the first.
        """
        ...


class Fetched(NamedTuple):
    """What a fetch brought.

    Attributes:
        folder: Where the pages of the window are; None if there was nothing new.
        pages: How many the window has.
        every: Folder of the pages of all windows, which is what to import: so one whose import
            was refused or killed is made up for by the next.
        unsettled: How many pages changed while they were read, and are left for a later fetch.
    """

    folder: str | None
    pages: int
    every: str
    unsettled: int = 0


def fetch(exchange: Exchange, folder: str, *, now: datetime) -> Fetched:
    """Fetches one window to its end; called again after a failure, goes on where it was.

    Args:
        exchange: Where from.
        folder: Where to; one exchange has one folder.
        now: The end of a window that is opened; with a time zone.

    Raises:
        ListError: A page is not one, pages have no end, the checkpoint is damaged, or another
            fetch is under way. The checkpoint is as it was.
        ExchangeError: The exchange does not answer as it should.
        UsageError: The folder belongs to another exchange.
        StorageError: Reading or writing failed.
    """
    with alone(folder, "fetch"):
        return _fetch(exchange, folder, now)


def _fetch(exchange: Exchange, folder: str, now: datetime) -> Fetched:
    path, every = storage.join(folder, CHECKPOINT), storage.join(folder, PAGES)
    checkpoint = _read(path, exchange.name)
    resumed = checkpoint.window is not None
    window = checkpoint.window or _opened(folder, now)
    named: set[str] = set()
    unsettled = 0
    while True:
        try:
            page = exchange.page(checkpoint.since, window)
        except StaleWindowError:
            if not resumed:
                raise ListError(f"{exchange.name}: it does not know the page it named") from None
            # What the pages so far say stays true; they are fetched again with the others.
            resumed, window = False, _opened(folder, now)
            named.clear()
            continue
        if page is None:
            if not window.pages:
                return Fetched(None, 0, every, unsettled)
            _write(path, checkpoint.model_copy(update={"since": window.state, "window": None}))
            folder = storage.join(every, window.folder)
            return Fetched(folder, window.pages, every, unsettled)
        number = window.pages + 1
        if number > MAX_PAGES:
            raise ListError(
                f"{exchange.name}: more than {MAX_PAGES:,} pages in one window; ask the partner"
            )
        pages = storage.join(every, window.folder)
        stored = storage.join(pages, f"page-{number:06}{page.suffix}")
        try:
            with storage.write_atomic(stored, private=True) as sink:
                for part in page.content:
                    sink.write(part)
        except UnsettledError:
            unsettled += 1
            continue
        if page.next in named:
            raise ListError(
                f"{exchange.name}: names a page again that it named before, so that a fetch would "
                "never end; ask the partner"
            )
        if page.next is None:
            done = checkpoint.model_copy(update={"since": page.state, "window": None})
            _write(path, done)
            return Fetched(pages, number, every, unsettled)
        named.add(page.next)
        update = {"pages": number, "next": page.next, "state": page.state}
        window = window.model_copy(update=update)
        checkpoint = checkpoint.model_copy(update={"window": window})
        _write(path, checkpoint)


def _opened(folder: str, now: datetime) -> Window:
    """Returns a new window, with a folder behind those there are, whatever the clock says."""
    window = Window(until=utc_seconds(now, "now"))
    files = storage.walk_if_there(storage.join(folder, PAGES))
    names = {storage.basename(storage.parent(file.path)) for file in files}
    last = max(filter(None, map(_time, names)), default=None)
    if last is None or last < window.until:
        return window
    return window.model_copy(update={"named": f"{last + timedelta(seconds=1):{_NAME}}"})


def _time(name: str) -> datetime | None:
    """Returns the time that a window's folder is named after; None for another folder."""
    try:
        return datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _read(path: str, name: str) -> Checkpoint:
    if not storage.exists(path):
        return Checkpoint(exchange=name)
    try:
        checkpoint = Checkpoint.model_validate_json(storage.read_bytes(path))
    except ValidationError:
        raise ListError(
            f"{path}: damaged; restore it, or remove it to fetch everything again"
        ) from None
    if checkpoint.exchange != name:
        raise UsageError(
            f"{path}: belongs to {checkpoint.exchange}, not to {name}; give each its own folder"
        )
    return checkpoint


def _write(path: str, checkpoint: Checkpoint) -> None:
    storage.write_bytes(path, checkpoint.model_dump_json(indent=1).encode() + b"\n", private=True)


def utc(time: datetime) -> str:
    """Returns a time as exchanges want it: ISO 8601, UTC, in seconds."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
