from pathlib import Path

import pytest
from jinja2 import UndefinedError

from ingestgate.pipeline import templating
from ingestgate.pipeline.templating import template

NAMES = sorted(path.name for path in (Path(templating.__file__).parent / "templates").iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_html_is_escaped_and_nothing_may_be_left_out(name: str) -> None:
    escapes = template(name).environment.autoescape
    assert callable(escapes)
    assert escapes(name) == name.endswith(".html")
    with pytest.raises(UndefinedError):
        template(name).render()
