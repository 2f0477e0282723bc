"""OTLP over HTTP in: traces, logs and metrics of agents in any language, into the same store as ours.

`intake.py` reads a body within bounds, `json_mapping.py` turns JSON into protobuf, `receiver.py` stores it,
`answers.py` says how it went. What a record must be stands in `recorder/foreign.py`.
"""
