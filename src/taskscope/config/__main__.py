"""`python -m taskscope.config` prints docs/settings.md, made from the table of settings."""

from __future__ import annotations

import sys

from .settings import TABLE, Setting

_HEAD = """\
# Settings

<!-- Made from src/taskscope/config/settings.py: python -m taskscope.config > docs/settings.md -->

Nothing has to be set. Our own commands take each setting from the first of these that has it:

1. the environment: its `TASKSCOPE_` variable, then its plain one, then its OpenTelemetry one,
2. the same variables in `.env`,
3. its key in `.agent.yml`,
4. its default.

Both files are those of the folder that the command was called in, never of the repository that is worked
on. A host program that calls `taskscope.configure()` reads `TASKSCOPE_*` and `OTEL_*` of its environment
only.

An empty variable counts as unset. Wrong values are reported all at once, each with its source and what is
allowed, and the command ends with exit code 2; a host program logs them and goes on with the defaults. An
unknown key in `.agent.yml` is wrong; a `TASKSCOPE_` variable that looks like a misspelt one is warned
about. Values of secret settings are never shown. Relative paths start at the folder of the call, `~` is
the home folder.

`.env` has lines `NAME=value`, with or without `export`; `#` begins a comment at the start of a line or
after a space. `'...'` is taken as it is, `"..."` knows `\\n`, `\\r`, `\\t`, `\\"` and `\\\\`; both may
span lines. Nothing is interpolated and nothing is run. A line that cannot be read is warned about.
`OTEL_*` variables of `.env` reach the OpenTelemetry SDK too, where the environment does not set them.

`.agent.yml` has lines `key: value`:

```yaml
metrics_port: 9000
cost_cap_daily: 2.50
service_name: night shift
allowed_roots: [~/work, ~/play]
```
"""


def render() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(_section(row) for row in TABLE)])


def _section(row: Setting) -> str:
    variables = ", ".join(f"`{name}`" for name in row.variables(is_host=False))
    secret = " Secret." if row.is_secret else ""
    default = f"`{row.default_text}`" if row.default_text else "none"
    return f"## {row.key}\n\n{row.doc}{secret}\n\n- {variables}\n- {row.kind.allowed}\n- default: {default}\n"


if __name__ == "__main__":
    sys.stdout.write(render())
