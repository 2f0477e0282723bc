"""What is said: spans, events and the context they share, through the OTel API alone.

How records are kept is the recorder's matter, where spans are born is the instrumentation's. `spans.py` has
one context manager for each kind of span of the contract; `manual.py` is the same for a host's own code.
"""
