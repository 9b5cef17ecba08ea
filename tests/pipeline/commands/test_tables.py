import pytest

from ingestgate.pipeline.commands.tables import show_table

LONG = [f"{letter}" * 70 for letter in "abc"]


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    show_table(("cluster", "first", "[list]"), [(*LONG[:2], f"[{LONG[2]}]")])
    return capsys.readouterr().out


def test_elsewhere_than_on_a_terminal_no_cell_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    text = shown(capsys)
    assert all(cell in text for cell in (*LONG, f"[{LONG[2]}]", "[list]"))
    assert max(map(len, text.splitlines())) < 250, "no wider than it has to be"


def test_on_a_terminal_cells_fold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    text = shown(capsys)
    assert [text.count(cell[0]) >= 70 for cell in LONG] == [True] * 3
    assert "\u2026" not in text


def test_no_name_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("member",), [("a\x1b[2Ab.jpg\nsecond line",)])
    text = capsys.readouterr().out
    assert r"a\x1b[2Ab.jpg" in text
    assert "second line" in text
    assert "\x1b" not in text
