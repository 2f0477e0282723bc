"""The real programs behind the pipeline on this machine, without Docker: built from source, started, stopped.

`make stack` and its sisters are its front door; tests and proofs use `stack.instance.Instance`. What the
Collector does with telemetry stands in collector/, what Grafana shows in grafana/.
"""
