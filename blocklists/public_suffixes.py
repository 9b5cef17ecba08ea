"""Public suffixes: names under which anybody can register, which no list should name.

The algorithm of https://publicsuffix.org/list/ over a file in that list's form, which an operator
gives; it is not shipped, for its licence (MPL 2.0) is another than this program's. Without it, a
few suffixes that everybody knows are checked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ingestgate.assets import storage
from ingestgate.assets.errors import UsageError
from ingestgate.blocklists.sources import BadSource, canonical_host

MAX_FILE_BYTES = 1 << 24

_SECOND_LEVEL = {
    "uk": "ac co gov ltd me net nhs org plc police",
    "au": "asn com edu gov id net org",
    "nz": "ac co geek gen govt iwi net org school",
    "za": "ac co gov law net nom org school web",
    "in": "ac co edu firm gen gov ind net org res",
    "jp": "ac ad co ed go gr lg ne or",
    "kr": "ac co go ne or pe re",
    "br": "art blog com edu gov net org",
    "ar": "com edu gob net org",
    "mx": "com edu gob net org",
    "co": "com edu gov net org",
    "cn": "ac com edu gov net org",
    "hk": "com edu gov idv net org",
    "tw": "com edu gov idv net org",
    "sg": "com edu gov net org",
    "my": "com edu gov name net org",
    "th": "ac co go in net or",
    "id": "ac co go net or sch web",
    "ph": "com edu gov net org",
    "vn": "com edu gov net org",
    "tr": "av bel com edu gen gov k12 net org web",
    "il": "ac co gov k12 muni net org",
    "pl": "com edu gov net org",
    "ua": "com edu gov in net org",
    "ru": "ac edu gov mil msk spb",
    "eg": "com edu gov net org",
    "ng": "com edu gov net org",
    "ke": "ac co go me ne or sc",
    "pk": "com edu gov net org",
    "bd": "com edu gov net org",
    "at": "ac co gv or",
    "hu": "co info org",
    "es": "com edu gob nom org",
    "pt": "com edu gov org",
    "gr": "com edu gov net org",
    "pe": "com edu gob net org",
    "ve": "co com edu gob net org",
}
_OF_HOSTERS = (
    "appspot.com azurewebsites.net blogspot.com cloudfront.net firebaseapp.com fly.dev github.io "
    "gitlab.io herokuapp.com myshopify.com netlify.app onrender.com pages.dev r2.dev "
    "s3.amazonaws.com vercel.app web.app wixsite.com workers.dev"
)


@dataclass(frozen=True)
class PublicSuffixes:
    """A set of rules, in canonical form.

    Attributes:
        exact: Names that are suffixes.
        wildcards: Names of which every name one label below is a suffix.
        exceptions: Names that are none although a wildcard says so.
    """

    exact: frozenset[str]
    wildcards: frozenset[str] = frozenset()
    exceptions: frozenset[str] = frozenset()

    @classmethod
    def of(cls, lines: Iterable[str]) -> Self:
        """Returns the rules of a public suffix list's lines.

        Raises:
            ValueError: A line is no rule; says which.
        """
        rules: dict[str, set[str]] = {"": set(), "*.": set(), "!": set()}
        for number, line in enumerate(lines, 1):
            text = line.split()[0] if line.strip() else ""
            if not text or text.startswith("//"):
                continue
            mark = next(mark for mark in ("*.", "!", "") if text.startswith(mark))
            try:
                rules[mark].add(canonical_host(text.removeprefix(mark)))
            except BadSource:
                raise ValueError(f"line {number} is no rule of a public suffix list") from None
        return cls(*(frozenset(rules[mark]) for mark in ("", "*.", "!")))

    @classmethod
    def built_in(cls) -> Self:
        """Returns the few that everybody knows."""
        second = (f"{name}.{top}" for top, names in _SECOND_LEVEL.items() for name in names.split())
        return cls(frozenset({*second, *_OF_HOSTERS.split()}), frozenset({"ck", "np"}))

    @classmethod
    def read(cls, path: str) -> Self:
        """Returns the rules of a file, ``public_suffix_list.dat`` for example.

        Raises:
            UsageError: It is no such file.
            StorageError: It cannot be read.
        """
        with storage.open_read(path) as source:
            raw = source.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise UsageError(f"{path}: too large for a public suffix list")
        try:
            found = cls.of(raw.decode("utf-8").splitlines())
        except UnicodeDecodeError:
            raise UsageError(f"{path}: not UTF-8 text") from None
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from None
        if not found.exact:
            raise UsageError(f"{path}: holds no rule of a public suffix list")
        return found

    def suffix(self, host: str) -> str:
        """Returns the public suffix of a canonical host name; its last label if no rule says."""
        labels = host.split(".")
        for place in range(len(labels)):
            name = ".".join(labels[place:])
            parent = ".".join(labels[place + 1 :])
            if name in self.exceptions:
                return parent
            if name in self.exact or parent in self.wildcards:
                return name
        return labels[-1]

    def are_covered_by(self, domain: bytes) -> bool:
        """Whether a listed domain is a public suffix, together with what is registered below it.

        Args:
            domain: As `entries.Entry` has it; one that does not say what it covers is taken to
                cover what is below it.
        """
        if domain.startswith(b"="):
            return False
        host = domain.decode().removeprefix("*").removeprefix(".")
        if host in self.exceptions:
            return False
        return (
            host in self.exact or host in self.wildcards or host.partition(".")[2] in self.wildcards
        )
