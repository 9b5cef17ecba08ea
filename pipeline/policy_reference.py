"""The reference of the policy file, made from the policy itself.

python -m ingestgate.pipeline.policy_reference > docs/policy.md
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ingestgate.transforms.policy import Policy

_INTRODUCTION = """\
# Policy

<!-- Written by `python -m ingestgate.pipeline.policy_reference`; a test fails if it drifts. -->

A policy is a YAML file for `ingestgate run --policy FILE`. Every key may be left out, and so may
the file: the defaults hold whatever cannot be checked.

- An unknown key, a key that is there twice, or a value of another type is refused with its line,
  before anything is read (exit code 2).
- A list or mapping that is given replaces the default whole; nothing is merged into it. The keys
  below `limits`, `lists.<id>` and `trust` are the exception: each has its own default.
- Keys that end in `_columns` hold patterns of column names. `*`, `?` and `[ab]` match as in a
  shell, case does not matter. A nested column such as `images[2].page_url` is matched by its whole
  name, by its name without indices (`images.page_url`), and by its last part alone (`page_url`).
  Lists, structs and maps are searched at any depth; the text keys of a map are parts of names.
- The policy is part of what decides a verdict. A changed policy judges every shard again (all but
  `trust` counts); the digest of the policy is in the report and in each row of the quarantine's
  manifest.

`hold` means: the verdict is `unscannable`, with the reason that fits, and the asset is neither
admitted nor sealed. `exact_checks_suffice` means: the asset is admitted if its digests and its
sources match nothing; what the latter costs for pictures of low quality, and how many there are, is
in [operators.md](operators.md#pictures-of-low-quality).

## Example
"""

#: A policy file that a team might start from; a test reads it.
EXAMPLE = """\
# Hold everything that does not say where it is from.
require_source: true

# Columns of this crawl that hold a source. This replaces the default patterns.
url_columns: [url, page_url, "*_uri"]

# Video and audio are judged by digests and sources alone.
other_members: exact_checks_suffice

limits:
  max_pixels: 25000000      # a picture of more is held
  formats: [JPEG, MPO, PNG, WEBP]

lists:
  partner-a:
    action: observe         # on trial: recorded and counted, changes no verdict
  partner-b:
    thresholds:
      pdq: 24               # stricter than the 31 bits the list says
"""

_CLOSING = """
Only lists that are there may be named under `lists`; another name is refused.
"""


def policy_reference() -> str:
    """Returns the reference page in Markdown."""
    schema = Policy.model_json_schema()
    sections = schema["$defs"]
    return "".join(
        [
            _INTRODUCTION,
            f"\n```yaml\n{EXAMPLE}```\n",
            _CLOSING,
            "\n## Keys\n",
            *_table(schema["properties"]),
            f"\n## Keys of `limits`\n\n{sections['Limits']['description']}\n",
            *_table(sections["Limits"]["properties"]),
            f"\n## Keys of `lists.<id>`\n\n{sections['ListPolicy']['description']}\n",
            *_table(sections["ListPolicy"]["properties"]),
            f"\n## Keys of `trust`\n\n{sections['ListTrust']['description']}\n",
            *_table(sections["ListTrust"]["properties"]),
        ]
    )


def _table(properties: Mapping[str, Any]) -> Iterator[str]:
    yield "\n| key | type | default | meaning |\n|---|---|---|---|\n"
    for name, field in properties.items():
        meaning = " ".join(field.get("description", "See below.").split())
        default = _default(field)
        yield f"| `{name}` | {_type(field)} | {default} | {meaning} |\n"


def _default(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return "each key's own"
    value = field["default"]
    if value is None:
        return "what the list says"
    if isinstance(value, dict):
        return "<br>".join(f"`{key}: {_inline(item)}`" for key, item in value.items()) or "none"
    return f"`{_inline(value)}`"


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return "mapping"
    if "anyOf" in field:
        one, other = field["anyOf"]
        if other["type"] == "null":
            return "`quarantine` or `observe`"
        return f"{_type(one)}, or {_type(other)}"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        return "list of text"
    if field["type"] == "string":
        return "text"
    if field["type"] == "object":
        return f"mapping to {_type(field['additionalProperties'])}"
    if field["type"] == "integer":
        most = f", at most {field['maximum']}" if "maximum" in field else ""
        return f"whole number, at least {field['minimum']}{most}"
    if field["type"] == "number":
        return f"number between {field['exclusiveMinimum']:g} and {field['exclusiveMaximum']:g}"
    return "`true` or `false`"


if __name__ == "__main__":
    print(policy_reference(), end="")
