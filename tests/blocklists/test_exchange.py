"""Fetching, against a server on this machine that answers as the published APIs do."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import JsonValue

from ingestgate.assets.errors import ExchangeError, ListError, UsageError
from ingestgate.blocklists import exchange as exchanges
from ingestgate.blocklists import http_exchanges
from ingestgate.blocklists.exchange import Fetched, Page, Window, fetch
from ingestgate.blocklists.formats.ncmec import NAMESPACE
from ingestgate.blocklists.http_exchanges import ATTEMPTS, NcmecExchange, StopNciiExchange
from ingestgate.blocklists.importing import import_files
from ingestgate.blocklists.store import stored_entries

NOW = datetime(2026, 1, 10, 12, 30, 5, 999, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
Answer = tuple[int, dict[str, str], bytes]


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Server:
    """A stand-in; `answers` are given before what `respond` says, `asked` is what came."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.answers: list[Answer] = []
        self.respond: Callable[[str, dict[str, str]], Answer] = lambda *_: (404, {}, b"")
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                split = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(split.query).items()}
                server.asked.append((split.path, query, dict(self.headers)))
                waiting = server.answers
                status, headers, body = (
                    waiting.pop(0) if waiting else server.respond(split.path, query)
                )
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture
def slept() -> list[float]:
    return []


# --- NCMEC --------------------------------------------------------------------------------


def ncmec_page(*entries: str, following: str = "") -> bytes:
    paging = f"<paging><next>{following}</next></paging>" if following else ""
    return (
        f'<queryResult xmlns="{NAMESPACE}"><images count="{len(entries)}">{"".join(entries)}'
        f"</images>{paging}</queryResult>"
    ).encode()


def image(id: str, day: int, *, deleted: bool = False) -> str:
    tag = "deletedImage" if deleted else "image"
    prints = "" if deleted else f"<fingerprints><md5>{md5(id)}</md5></fingerprints>"
    return (
        f'<{tag}><member id="42">M</member><id>{id}</id>'
        f"<timestamp>2026-01-{day:02}T00:00:00Z</timestamp>{prints}</{tag}>"
    )


PAGES = [
    [image("a", 3), image("b", 9, deleted=True)],
    [image("b", 2), image("c", 1)],
    [image("d", 5), image("a", 6, deleted=True)],
]


def ncmec(path: str, query: dict[str, str]) -> Answer:
    if path != "/api/v2/entries":
        return 404, {}, b""
    at = int(query.get("start", "0"))
    follows = "&amp;".join(
        f"{name}={value.replace(':', '%3A')}"
        for name, value in {**query, "start": str(at + 1)}.items()
    )
    last = at == len(PAGES) - 1
    return 200, {}, ncmec_page(*PAGES[at], following="" if last else f"/v2/entries?{follows}")


@pytest.fixture
def exchange(server: Server, slept: list[float]) -> Iterator[NcmecExchange]:
    server.respond = ncmec
    with NcmecExchange(server.url, "user", "secret-word", sleep=slept.append) as one:
        yield one


def checkpoint(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "checkpoint.json").read_bytes())
    return content


def entries(folder: Fetched, store: Path) -> set[str]:
    assert folder.folder is not None
    import_files(str(store), "p", [folder.folder])
    return {one.entry_id for _, those in stored_entries(str(store), "p") for one in those}


def test_ncmec_window_to_its_end(server: Server, exchange: NcmecExchange, tmp_path: Path) -> None:
    fetched = fetch(exchange, str(tmp_path / "f"), now=NOW)
    assert fetched == Fetched(
        str(tmp_path / "f" / "pages" / "20260110T123005Z"), 3, str(tmp_path / "f" / "pages")
    )
    assert entries(fetched, tmp_path / "s") == {"42/c", "42/d"}  # deletions, in any order
    assert checkpoint(tmp_path / "f") == {
        "exchange": f"ncmec {server.url}",
        "since": "2026-01-10T12:30:05Z",
        "window": None,
    }
    assert server.asked[0][1] == {"from": "1970-01-01T00:00:00Z", "to": "2026-01-10T12:30:05Z"}
    credentials = base64.b64encode(b"user:secret-word").decode()
    assert {headers["Authorization"] for *_, headers in server.asked} == {f"Basic {credentials}"}
    for path in (tmp_path / "f").rglob("*.xml"):
        assert path.stat().st_mode & 0o777 == 0o600
    server.asked.clear()
    fetch(exchange, str(tmp_path / "f"), now=LATER)
    overlapping = {"from": "2026-01-10T12:20:05Z", "to": "2026-01-11T12:30:05Z"}
    assert server.asked[0][1] == overlapping


@pytest.mark.parametrize(
    ("bad", "error", "problem"),
    [
        ((500, {}, b""), ExchangeError, f"answers 500, {ATTEMPTS} times in a row"),
        ((401, {}, b""), ExchangeError, "answers 401; check the credentials"),
        ((418, {}, b""), ExchangeError, "answers 418; ask the partner"),
        ((302, {"Location": "/x"}, b""), ExchangeError, "answers 302; ask the partner"),
        ((200, {}, ncmec_page(*PAGES[1])[:-30]), ListError, "not XML"),
        ((200, {}, b"<html>login</html>"), ListError, "not a queryResult"),
        ((200, {}, b""), ListError, "not XML"),
        ((200, {}, ncmec_page(image("", 2))), ListError, "image, id: empty; an entry needs both"),
        (
            (200, {}, ncmec_page(image("b", 2).replace("id>", "Id>"))),
            ListError,
            "id: there 0 times",
        ),
        ((200, {}, ncmec_page(image("b", 40))), ListError, "image, timestamp: not a time"),
        ((200, {}, ncmec_page(image("x" * 300, 2))), ListError, "image, entry_id: longer than 256"),
        ((200, {}, ncmec_page(following="https://else.example/v2/entries")), ListError, "next"),
        ((200, {}, ncmec_page(following="//else.example/v2/entries")), ListError, "next"),
    ],
)
def test_checkpoint_moves_only_when_the_window_is_exhausted(
    server: Server,
    exchange: NcmecExchange,
    tmp_path: Path,
    bad: Answer,
    error: type[Exception],
    problem: str,
) -> None:
    folder = tmp_path / "f"
    server.answers = [ncmec("/api/v2/entries", {"from": "x", "to": "y"}), *[bad] * ATTEMPTS]
    with pytest.raises(error, match=problem) as caught:
        fetch(exchange, str(folder), now=NOW)
    assert "secret-word" not in str(caught.value)
    assert md5("b") not in str(caught.value)
    held = checkpoint(folder)
    assert held["since"] is None
    assert held["window"]["pages"] == 1
    assert len(list(folder.rglob("*.xml"))) == 1
    server.answers.clear()
    server.asked.clear()
    fetched = fetch(exchange, str(folder), now=LATER)
    assert server.asked[0][1] == {"from": "x", "to": "y", "start": "1"}  # the same window
    assert fetched.pages == 3
    assert checkpoint(folder)["since"] == "2026-01-10T12:30:05Z"
    assert entries(fetched, tmp_path / "s") == {"42/c", "42/d"}


def test_a_malformed_value_is_left_for_the_import(
    server: Server, exchange: NcmecExchange, tmp_path: Path
) -> None:
    values = "".join(f"<md5>{md5(str(n))}</md5>" for n in range(10))
    mixed = f"<md5>{md5('e')[1:]}</md5>{values}"
    server.answers = [(200, {}, ncmec_page(image("e", 2).replace(f"<md5>{md5('e')}</md5>", mixed)))]
    fetched = fetch(exchange, str(tmp_path / "f"), now=NOW)
    assert fetched.pages == 1
    with pytest.raises(ListError, match="image, md5: no md5 of 32 hex digits"):
        entries(fetched, tmp_path / "s")
    result = import_files(str(tmp_path / "s"), "p", [str(fetched.folder)], max_malformed=0.1)
    assert result.skipped == {"malformed md5": 1}


def test_busy_servers_are_given_the_time_they_ask_for(
    server: Server, exchange: NcmecExchange, tmp_path: Path, slept: list[float]
) -> None:
    server.answers = [
        (429, {"Retry-After": "7"}, b""),
        (503, {}, b""),
        (429, {"Retry-After": "Fri, 01 Jan 1999 00:00:00 GMT"}, b""),
        (429, {"Retry-After": "99999"}, b""),
        (429, {"Retry-After": "soon"}, b""),
    ]
    assert fetch(exchange, str(tmp_path), now=NOW).pages == 3
    assert slept == [7.0, 2.0, 0.0, 300.0, 16.0]


def test_server_that_hangs_up(
    server: Server, exchange: NcmecExchange, tmp_path: Path, slept: list[float]
) -> None:
    server.answers = [(200, {"Content-Length": "9999"}, b"<queryResult")] * 2
    assert fetch(exchange, str(tmp_path), now=NOW).pages == 3
    assert slept == [1.0, 2.0]


def test_page_the_server_has_forgotten_begins_the_window_anew(
    server: Server, exchange: NcmecExchange, tmp_path: Path
) -> None:
    server.answers = [ncmec("/api/v2/entries", {}), (500, {}, b"")]
    server.answers += [(500, {}, b"")] * (ATTEMPTS - 1)
    with pytest.raises(ExchangeError):
        fetch(exchange, str(tmp_path), now=NOW)
    server.answers = [(410, {}, b"")]
    fetched = fetch(exchange, str(tmp_path), now=LATER)
    assert fetched == Fetched(
        str(tmp_path / "pages" / "20260111T123005Z"), 3, str(tmp_path / "pages")
    )
    server.answers = [ncmec("/api/v2/entries", {}), (410, {}, b"")]
    with pytest.raises(ListError, match="does not know the page it named"):
        fetch(exchange, str(tmp_path), now=LATER + timedelta(days=1))


class Pages:
    """An exchange whose pages name the next one as told."""

    name = "pages"

    def __init__(self, following: Callable[[int], str | None]) -> None:
        self._following = following

    def page(self, since: JsonValue, window: Window) -> Page | None:
        return Page((b"x",), ".txt", self._following(window.pages), None)


def test_pages_that_lead_back_are_refused(tmp_path: Path) -> None:
    circle = Pages(lambda number: f"page {number % 3}")
    with pytest.raises(ListError, match="pages: names a page again that it named before"):
        fetch(circle, str(tmp_path), now=NOW)
    assert checkpoint(tmp_path)["window"]["pages"] == 3


def test_a_window_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "MAX_PAGES", 4)
    endless = Pages(str)
    for _ in range(2):  # nor does it go on when run again
        with pytest.raises(ListError, match="pages: more than 4 pages in one window"):
            fetch(endless, str(tmp_path), now=NOW)
    assert len(list((tmp_path / "pages").rglob("page-*"))) == 4


def test_one_fetch_at_a_time(tmp_path: Path) -> None:
    def meanwhile(number: int) -> None:
        with pytest.raises(ListError, match="another fetch is under way there; wait"):
            fetch(Pages(lambda number: None), str(tmp_path), now=NOW)

    fetch(Pages(meanwhile), str(tmp_path), now=NOW)
    assert checkpoint(tmp_path)["window"] is None


def test_pages_without_end_are_refused(
    server: Server, exchange: NcmecExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_exchanges, "MAX_PAGE", 100)
    with pytest.raises(ExchangeError, match="more than 100 bytes"):
        fetch(exchange, str(tmp_path), now=NOW)


@pytest.mark.parametrize(
    "url",
    [
        *("http://hashes.example/api", "https://u:p@hashes.example/", "ftp://hashes.example/"),
        *("hashes.example/api", "//hashes.example/api", "https://u:p@/api"),
    ],
)
def test_credentials_do_not_travel_in_the_open(url: str) -> None:
    with pytest.raises(UsageError, match="begins with https://"):
        NcmecExchange(url, "u", "p")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://hashes\x01.example/", "is not one, is too long, or holds a control character"),
        (f"https://hashes.example/{'a' * (1 << 16)}", "is not one, is too long"),
        ("https://hashes.example:port/", "is not one"),
        ("https://[bad", "names no host, or one that there cannot be"),
        ("https://", "names no host"),
        ("https://ha shes.example/", "one that there cannot be"),
    ],
)
def test_what_is_no_url_is_not_asked(url: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        NcmecExchange(url, "u", "p")
    assert "hashes" not in str(caught.value)


@pytest.mark.parametrize("following", ["/v2/a&#10;b", "/v2/" + "a" * (1 << 16)])
def test_a_page_that_nobody_could_ask_for_is_not_gone_on_with(
    server: Server, exchange: NcmecExchange, tmp_path: Path, following: str
) -> None:
    server.answers = [(200, {}, ncmec_page(image("a", 3), following=following))]
    with pytest.raises(ListError, match="paging, next: not another page of this server"):
        fetch(exchange, str(tmp_path), now=NOW)
    assert not (tmp_path / "checkpoint.json").exists()
    assert fetch(exchange, str(tmp_path), now=NOW).pages == 3


def test_a_stored_page_that_nobody_could_ask_for_begins_the_window_anew(
    exchange: NcmecExchange, tmp_path: Path
) -> None:
    window = {"until": NOW.isoformat(), "pages": 1, "next": "/v2/a\nb"}
    stored = json.dumps({"exchange": exchange.name, "window": window})
    (tmp_path / "checkpoint.json").write_text(stored)
    assert fetch(exchange, str(tmp_path), now=LATER).pages == 3
    assert checkpoint(tmp_path)["window"] is None


# --- StopNCII -----------------------------------------------------------------------------

RECORDS = [("a", "Active"), ("b", "Active"), ("a", "Withdrawn"), ("c", "Active")]


def stopncii(path: str, query: dict[str, str]) -> Answer:
    if path != "/api/FetchHashes":
        return 404, {}, b""
    at = int(query.get("nextPageToken", "t0")[1:])
    text, status = RECORDS[at]
    record = {
        "lastModtimestamp": 1767225600 + at,
        "signalType": "VideoMD5",
        "hashValue": md5(text),
        "hashStatus": status,
        "caseNumbers": {"1": status},
    }
    more = at < len(RECORDS) - 1
    page = {"count": 1, "hashRecords": [record], "hasMoreRecords": more}
    page |= {"nextPageToken": f"t{at + 1}" if more else None, "nextSetTimestamp": 1767225700}
    return 200, {}, json.dumps(page).encode()


@pytest.fixture
def other(server: Server, slept: list[float]) -> Iterator[StopNciiExchange]:
    server.respond = stopncii
    with StopNciiExchange(server.url, "key-1", "key-2", sleep=slept.append) as one:
        yield one


def test_stopncii_window_to_its_end(
    server: Server, other: StopNciiExchange, tmp_path: Path
) -> None:
    fetched = fetch(other, str(tmp_path / "f"), now=NOW)
    assert fetched.pages == 4
    assert len(entries(fetched, tmp_path / "s")) == 2
    assert checkpoint(tmp_path / "f")["since"] == 1767225700
    path, query, headers = server.asked[0]
    assert (path, query) == ("/api/FetchHashes", {"startTimestamp": "10", "pageSize": "800"})
    assert headers["Ocp-Apim-Subscription-Key"] == "key-1"
    assert headers["X-Functions-Key".lower()] == "key-2"
    server.asked.clear()
    fetch(other, str(tmp_path / "f"), now=LATER)
    assert server.asked[0][1]["startTimestamp"] == "1767225700"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hasMoreRecords": None}, "without hasMoreRecords or nextSetTimestamp"),
        ({"nextSetTimestamp": "1"}, "without hasMoreRecords or nextSetTimestamp"),
        ({"nextSetTimestamp": 1}, "nextSetTimestamp: lies before what was asked for"),
        ({"hasMoreRecords": True, "nextPageToken": None}, "nextPageToken: not another page"),
        ({"hasMoreRecords": True, "nextPageToken": "t1"}, "nextPageToken: not another page"),
        ({"hasMoreRecords": True, "nextPageToken": "t" * (1 << 16)}, "nextPageToken: not another"),
        ({"hasMoreRecords": True, "nextPageToken": "\ud800"}, "nextPageToken: not another page"),
        ({"hashRecords": None}, "not a page of StopNCII's hashes"),
        ({"hashRecords": []}, "count: is not 0, the number of hashRecords there are"),
        ({"count": 2}, "count: is not 1, the number of hashRecords there are"),
        ({"hashRecords": [{"hashValue": md5("x"), "hashStatus": "?"}]}, "hashStatus: a status"),
        (
            {"hashRecords": [{"hashValue": "x", "signalType": md5("x")}]},
            "signal type: not the name",
        ),
    ],
)
def test_malformed_stopncii_pages(
    server: Server, other: StopNciiExchange, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    good = stopncii("/api/FetchHashes", {})
    bad = json.loads(good[2]) | {"hasMoreRecords": False} | change
    server.answers = [good, (200, {}, json.dumps(bad).encode())]
    with pytest.raises(ListError, match=problem) as caught:
        fetch(other, str(tmp_path), now=NOW)
    assert md5("x") not in str(caught.value)
    assert checkpoint(tmp_path)["since"] is None
    assert fetch(other, str(tmp_path), now=LATER).pages == 4


def test_a_stopncii_page_without_records_is_not_an_empty_one(
    server: Server, other: StopNciiExchange, tmp_path: Path
) -> None:
    page = {"hasMoreRecords": False, "nextSetTimestamp": 1767225700}
    server.answers = [(200, {}, json.dumps(page).encode())]
    with pytest.raises(ListError, match="not a page of StopNCII's hashes"):
        fetch(other, str(tmp_path), now=NOW)
    assert not (tmp_path / "checkpoint.json").exists()
    server.answers = [(200, {}, json.dumps({**page, "count": 0, "hashRecords": []}).encode())]
    assert fetch(other, str(tmp_path), now=NOW).pages == 1


# --- folders ------------------------------------------------------------------------------


def test_a_window_keeps_its_folder_when_it_goes_on(tmp_path: Path) -> None:
    def cut_short(number: int) -> str | None:
        if number:
            raise ExchangeError("cut short")
        return "more"

    for pages in (Pages(lambda _: None), Pages(cut_short)):
        with suppress(ExchangeError):
            fetch(pages, str(tmp_path), now=NOW)
    fetched = fetch(Pages(lambda _: None), str(tmp_path), now=LATER)
    assert fetched == Fetched(
        str(tmp_path / "pages" / "20260110T123006Z"), 2, str(tmp_path / "pages")
    )


@pytest.mark.parametrize(
    "named", ["../20260110T123005Z", "20260110T123005Z\n", "20260110T123005Zx", "x"]
)
def test_a_checkpoint_names_no_other_folder(tmp_path: Path, named: str) -> None:
    window = {"until": NOW.isoformat(), "named": named}
    (tmp_path / "checkpoint.json").write_text(json.dumps({"exchange": "pages", "window": window}))
    with pytest.raises(ListError, match=r"checkpoint\.json: damaged"):
        fetch(Pages(lambda _: None), str(tmp_path), now=NOW)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"exchange": "x", "window": {"pages": 1}}'])
def test_damaged_checkpoint(tmp_path: Path, content: str) -> None:
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(ListError, match=r"checkpoint\.json: damaged; restore it, or remove it"):
        fetch(Pages(lambda _: None), str(tmp_path), now=NOW)
