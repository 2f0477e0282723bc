"""The local backend: one SQLite file per host with spans, logs, tasks and metric aggregates.

Written by `Ingest`, read by `History` and `read_aggregates`. How records come into being is the
recorder's work; nothing here imports an OpenTelemetry SDK or protobuf.
"""
