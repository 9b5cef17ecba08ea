"""Pages and sections of text that are made from templates."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape


@cache
def template(name: str) -> Template:
    """Returns the template in a file, by its name below ``templates``.

    What goes into HTML is escaped, into Markdown it is not. A name that is not given when it is
    rendered is an error.
    """
    environment = Environment(
        loader=PackageLoader("ingestgate.pipeline", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
