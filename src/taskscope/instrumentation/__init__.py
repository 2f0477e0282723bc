"""Where spans are born: one file for each instrumented library, one table in each.

`registry.py` switches them on and off, `_patch.py` wraps a method once and undoes it. What a span is stands
in `telemetry/`; nothing here keeps a record.
"""
