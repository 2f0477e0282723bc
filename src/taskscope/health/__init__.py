"""Is it well: checks, and the one monitor that runs them and makes their spans.

A probe by HTTP reads what the monitor found last and never runs a check. Where the results are shown is the
matter of `service/` and `cli/`; what needs the coding agent is handed in by `bootstrap.py`.
"""
