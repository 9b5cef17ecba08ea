import io
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestgate.assets.errors import ListError
from ingestgate.blocklists.lines import plain_lines, table_rows, text_lines, unseparated

HEADER = ["id", "hash"]


def rows(text: str, header: list[str] = HEADER) -> list[tuple[int, list[str]]]:
    lines = text_lines("f", io.BytesIO(text.encode()))
    return [(line, list(row.values())) for line, row in table_rows("f", header, lines)]


def refused(text: str, header: list[str] = HEADER) -> str:
    with pytest.raises(ListError) as caught:
        rows(text, header)
    assert caught.value.__cause__ is None  # a cause could carry the row
    return str(caught.value)


def test_a_row_is_not_a_remark_for_what_its_first_field_holds() -> None:
    assert rows('"#17",secret\n18,secret\n') == [(1, ["#17", "secret"]), (2, ["18", "secret"])]
    assert rows('"a\n#17",secret\n') == [(1, ["a\n#17", "secret"])]
    assert rows('"\n# b",secret\n') == [(1, ["\n# b", "secret"])]


@pytest.mark.parametrize(
    "line", ["#17,secret", " #17,secret", "# by us, secret", '#17,"secret', '#17,"secret, 5"']
)
def test_a_remark_that_could_be_a_row_is_refused(line: str) -> None:
    message = refused(f"18,a\n{line}\n19,b\n")
    assert message == (
        "f, line 2, row: begins with # as a remark does, but has the fields of a row; "
        "put the first field in quotes if it is one, or take the line out"
    )


@pytest.mark.parametrize(
    "line", ["#", "# by us", " \t# by us", "# a, b, c", '# "a" and "b"', ",", ""]
)
def test_remarks_and_blank_rows_are_left_out(line: str) -> None:
    assert rows(f"{line}\n18,a\n{line}\n19,b\n{line}") == [(2, ["18", "a"]), (4, ["19", "b"])]


def test_a_remark_that_opens_a_quote_takes_no_row_with_it() -> None:
    assert "line 1, row: begins with #" in refused('#a,b,"c\n18,a\n19",b\n')


def test_of_one_column_what_begins_with_a_hash_sign_is_a_remark() -> None:
    assert rows("# by us\nx\n#y\n", ["value"]) == [(2, ["x"])]


def test_a_remark_hides_no_line() -> None:
    assert "line 1, row: not CSV" in refused("# by us\r18,secret\n19,b\n")


def test_places_are_those_of_lines() -> None:
    assert rows('# a\n\n1,"x\ny"\n# b\n2,z\n') == [(3, ["1", "x\ny"]), (6, ["2", "z"])]
    assert refused('# a\n1,"x\ny"\n\n# b\n2\n').startswith(
        "f, line 6, row: has 1 fields, the header"
    )
    assert refused('# a\n1,"x\ny"\n# b\n2,"secret\n').startswith("f, line 5, row: not CSV (")


fields = st.text(st.sampled_from('#a," \n'), max_size=4)


@given(st.lists(st.tuples(fields, fields), max_size=5))
@example([("#", "a"), ("", " ")])
def test_what_is_written_with_quotes_is_read(table: Iterable[tuple[str, str]]) -> None:
    quoted = [[field.replace('"', '""') for field in row] for row in table]
    text = "".join(f'"{first}","{second}"\n' for first, second in quoted)
    assert [row for _, row in rows(text)] == [
        list(row) for row in table if any(field.strip() for field in row)
    ]


def test_lines_of_one_thing_each() -> None:
    def read(content: bytes) -> list[tuple[int, str]]:
        return list(plain_lines("f", io.BytesIO(content)))

    assert read(b"\xef\xbb\xbfa\r\nb\n\nc") == [(1, "a\r\n"), (2, "b\n"), (3, "\n"), (4, "c")]
    with pytest.raises(ListError, match="f, line 2, row: holds a carriage return; save the file"):
        read(b"a\nb\rc\n")


@pytest.mark.parametrize("mark", [",", ";", "|"])
def test_lines_with_another_column_each_are_rows(mark: str) -> None:
    def passed(text: str) -> list[str]:
        lines = unseparated("f", plain_lines("f", io.BytesIO(text.encode())))
        return [line.strip() for _, line in lines]

    # What a value holds itself does not hide the column behind it.
    for row in (f"secret{mark}2", f"secret{mark}w{mark}h/2{mark}A", f"secret{mark}"):
        with pytest.raises(ListError) as caught:
            passed(f"# one{mark}two{mark}\n\nsecret{mark}1\n{row}\n# end\n")
        assert str(caught.value) == (
            f"f, line 4, row: has behind its last {mark!r} what may be another column, and so has "
            "every line before it; give the table with its header, or, where it is a part of the "
            f"values, write %{ord(mark):02X}"
        )
    for text in (f"a{mark}1\nb\nc{mark}1\n", f"a{mark}1\n# by us\n", "a\nb\n"):
        assert passed(text) == text.split("\n")[: text.count("\n") + (text[-1] != "\n")]


@pytest.mark.parametrize(
    "path",
    [
        "iiif/2/{}/full/600,/0/default.jpg",
        "fill/w_600,h_400,al_c,q_80/{}.jpg",
        "view;jsessionid={}",
        "maps/@51.{},-0.12,15z/x",
        "resize|600x400/{}.jpg",
        "x?at=1,2&id={}",
    ],
)
def test_urls_of_one_site_with_separators_are_no_rows(path: str) -> None:
    urls = [(number, f"https://a.example/{path.format(number)}\n") for number in range(1, 5)]
    assert list(unseparated("f", urls)) == urls
    with pytest.raises(ListError, match="line 4, row: has behind its last ',' what may be another"):
        list(unseparated("f", [(number, f"{url.strip()},A1\n") for number, url in urls]))
