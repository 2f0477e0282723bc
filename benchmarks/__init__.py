"""Speed and size, measured side by side in one run; no test and no verdict of the software depends on it.

`python -m benchmarks` measures all and writes docs/benchmarks.md. A benchmark is a function that takes a
`Scene` and returns rows; what it starts as processes of its own stands in `loads/`.
"""
