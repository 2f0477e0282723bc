"""The telemetry contract: every name that Taskscope emits, once, with a docstring.

Docs, dashboards and tests take their names from here. No code that does anything, and no import from outside:
`from taskscope.semconv import attributes as attr` costs nothing.
"""
