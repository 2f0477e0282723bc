"""What is measured: programs that do one thing many times and print one JSON object as their last line.

Each runs as `python -m benchmarks.loads.NAME` in a process of its own, so that nothing warm, patched or
installed by one variant is there for the next.
"""
