"""What is shown and what is told: names from `taskscope.semconv`, thresholds from `config.py`."""
