"""A small real coding agent: it repairs Python repositories, by rules or by a model.

It knows nothing of telemetry: `taskscope` observes it from outside, through one table of its methods.
Start at `agent.py` (the loop) and `build.py` (the only file that knows all the parts).
"""
