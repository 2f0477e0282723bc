"""The Collector's configuration: what is written by hand, and what is generated from tables in Python."""
