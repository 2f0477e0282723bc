"""How telemetry leaves: from the store, as OTLP over HTTP, exactly as promised.

The cursor of a destination moves only on that destination's word. Reading batches and counting what became of
them is the store's matter (`store/outbox.py`).
"""
