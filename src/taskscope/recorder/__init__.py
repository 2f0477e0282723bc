"""How telemetry is kept: SDK spans and logs are cleaned, encoded and handed to one writer thread.

Importing this room imports no SDK, opens no file and starts no thread; `setup.install` does, at the first
record. What is said stands in `telemetry/`, the tables in `store/`.
"""
