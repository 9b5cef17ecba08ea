"""NCMEC hash sharing v2 and StopNCII over HTTP, as their published documentation says.

What a server answers is checked before it is stored, a busy server is given the time it asks for,
and redirects are not followed: credentials go to the server that was named and to no other.
"""

import io
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Self

import httpx2
from pydantic import JsonValue

from ingestgate.assets.errors import ExchangeError, ListError, UsageError
from ingestgate.blocklists.exchange import Page, StaleWindowError, Window, utc
from ingestgate.blocklists.formats import ncmec, stopncii
from ingestgate.blocklists.formats.json_records import objects
from ingestgate.blocklists.formats.reading import read_list
from ingestgate.blocklists.formats.record import ListFormat

ATTEMPTS = 6
MAX_PAGE = 1 << 28  # bytes
_LONGEST_WAIT = 300.0  # seconds
_AGAIN = frozenset({429, 500, 502, 503, 504})
_FORGOTTEN = frozenset({400, 404, 410})
_OVERLAP = timedelta(minutes=10)  # for what a server files late; what comes twice does no harm
_HOST = re.compile(rb"[A-Za-z0-9_.:\-]+")
_TIMEOUT = httpx2.Timeout(60.0)
# Of StopNCII's cursor, the earliest that the service takes.
_FIRST = 10


class _Server:
    """Gets pages from one server.

    Args:
        url: Where its API begins.
        auth: User and password, for basic authentication.
        headers: Sent with every request.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL:  # whose message shows what is wrong with it
            raise UsageError(
                "an exchange's URL is not one, is too long, or holds a control character"
            ) from None
        local = parsed.raw_host in (b"localhost", b"127.0.0.1", b"::1")
        if parsed.userinfo or not (parsed.scheme == "https" or (parsed.scheme == "http" and local)):
            raise UsageError("an exchange's URL begins with https:// and holds no credentials")
        if not _HOST.fullmatch(parsed.raw_host):
            raise UsageError("an exchange's URL names no host, or one that there cannot be")
        self.url = url.rstrip("/")
        self._client = httpx2.Client(
            auth=auth, headers=headers, timeout=_TIMEOUT, follow_redirects=False, trust_env=False
        )
        self._sleep = sleep

    def close(self) -> None:
        self._client.close()

    def can_ask(self, path: str, parameters: Mapping[str, str] | None = None) -> bool:
        """Whether what lies at a path can be asked for: a URL has no control characters, say."""
        try:
            httpx2.URL(self.url + path, params=parameters)
        except (httpx2.InvalidURL, UnicodeError):
            return False
        return True

    def get(self, path: str, parameters: Mapping[str, str] | None, *, first: bool) -> bytes:
        """Returns what lies at a path below the URL.

        Raises:
            ExchangeError: The server refuses, or is still busy after `ATTEMPTS`.
            StaleWindowError: It does not know a place it named before, or nobody could ask for it.
            UsageError: The URL is none.
        """
        problem = ""
        for attempt in range(ATTEMPTS):
            wait = min(2.0**attempt, _LONGEST_WAIT)
            try:
                with self._client.stream("GET", self.url + path, params=parameters) as response:
                    if response.status_code == 200:
                        return self._content(response)
                    problem = f"answers {response.status_code}"
                    if response.status_code in (401, 403):
                        raise ExchangeError(f"{self.url} {problem}; check the credentials")
                    if response.status_code in _FORGOTTEN and not first:
                        raise StaleWindowError
                    if response.status_code not in _AGAIN:
                        raise ExchangeError(f"{self.url} {problem}; ask the partner")
                    wait = _retry_after(response.headers.get("Retry-After", ""), wait)
            except httpx2.InvalidURL:
                if first:
                    raise UsageError("an exchange's URL is not one, or too long") from None
                raise StaleWindowError from None
            except httpx2.HTTPError as error:  # whose message can hold the place within the API
                problem = f"cannot be read ({type(error).__name__})"
            if attempt < ATTEMPTS - 1:
                self._sleep(wait)
        raise ExchangeError(
            f"{self.url} {problem}, {ATTEMPTS} times in a row; run again later, it goes on here"
        )

    def _content(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > MAX_PAGE:
                raise ExchangeError(f"{self.url} sends a page of more than {MAX_PAGE} bytes")
        return bytes(content)


def _retry_after(header: str, otherwise: float) -> float:
    """Returns how many seconds a server wants to be left alone (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,9}", header):
        return min(float(header), _LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return otherwise
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_WAIT)


class _HttpExchange:
    def __init__(self, kind: str, server: _Server) -> None:
        self.name = f"{kind} {server.url}"
        self._server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _check(self, content: bytes, list_format: ListFormat) -> None:
        """Refuses a page that an import would refuse, while it can still be asked for again.

        Values alone are left for the import, which may be told to leave out malformed ones: one
        of them need not hold up a feed.
        """
        for _ in read_list(
            self.name,
            list_format,
            Counter(),
            leave_out_never_match=True,
            max_malformed=1.0,
            source=io.BytesIO(content),
        ):
            pass


class NcmecExchange(_HttpExchange):
    """NCMEC hash sharing v2.

    Args:
        url: An environment's address, such as ``https://report.cybertip.org/hashsharing``.
        user, password: For basic authentication.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self, url: str, user: str, password: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__("ncmec", _Server(url, auth=(user, password), sleep=sleep))

    def page(self, since: JsonValue, window: Window) -> Page | None:
        """Returns a page of entries; see `exchange.Exchange.page`."""
        path, parameters = "/v2/entries", None
        if window.next is None:
            parameters = {"from": self._from(since), "to": utc(window.until)}
        else:
            path = window.next
        content = self._server.get(path, parameters, first=window.next is None)
        self._check(content, ncmec.Ncmec())
        following = ncmec.next_page(self.name, io.BytesIO(content))
        if following is not None and (
            not following.startswith("/v2/")
            or following == window.next
            or not self._server.can_ask(following)
        ):
            raise ListError(f"{self.name}, paging, next: not another page of this server")
        return Page((content,), ".xml", following, utc(window.until))

    def _from(self, since: JsonValue) -> str:
        if since is None:
            return utc(datetime(1970, 1, 1, tzinfo=UTC))
        try:
            return utc(datetime.fromisoformat(str(since)) - _OVERLAP)
        except ValueError:
            raise ListError(f"{self.name}: the checkpoint holds no time; restore it") from None


class StopNciiExchange(_HttpExchange):
    """StopNCII's hash API.

    Args:
        url: Its address, ``https://api.stopncii.org/v1``.
        subscription_key, function_key: The two keys StopNCII hands out.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self,
        url: str,
        subscription_key: str,
        function_key: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Ocp-Apim-Subscription-Key": subscription_key, "x-functions-key": function_key}
        super().__init__("stopncii", _Server(url, headers=headers, sleep=sleep))

    def page(self, since: JsonValue, window: Window) -> Page | None:
        """Returns a page of hash records; see `exchange.Exchange.page`."""
        start = since if isinstance(since, int) else _FIRST
        parameters = {"startTimestamp": str(start), "pageSize": "800"}
        if window.next is not None:
            parameters["nextPageToken"] = window.next
        content = self._server.get("/FetchHashes", parameters, first=window.next is None)
        whole = self._checked(content)
        more, token = whole.get("hasMoreRecords"), whole.get("nextPageToken")
        until = whole.get("nextSetTimestamp")
        if not isinstance(more, bool) or not isinstance(until, int) or isinstance(until, bool):
            raise ListError(f"{self.name}: a page without hasMoreRecords or nextSetTimestamp")
        if more and (
            not isinstance(token, str)
            or not token
            or token == window.next
            or not self._server.can_ask("/FetchHashes", {**parameters, "nextPageToken": token})
        ):
            raise ListError(f"{self.name}, nextPageToken: not another page")
        if until < start:
            raise ListError(f"{self.name}, nextSetTimestamp: lies before what was asked for")
        return Page((content,), ".json", str(token) if more else None, until)

    def _checked(self, content: bytes) -> dict[str, JsonValue]:
        """Returns the fields of a page, after it has been read as a list's file would be."""
        self._check(content, stopncii.StopNcii())
        whole: dict[str, JsonValue] = {}
        for found in objects(self.name, io.BytesIO(content), [(stopncii.RECORDS,)]):
            whole = found.value  # the outermost object comes last
        return whole
