"""Runs the agent for somebody who asks: takes a request, keeps its record, hands back a result.

What the agent does is its own business; this room opens the task's span and writes the ledger around it.
"""
