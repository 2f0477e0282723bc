"""Taskscope by HTTP, on one port of this machine: metrics, health, and tasks.

`server.py` runs it, `app.py` puts it together, `access.py` says who may ask. What a task is and what a number
means is decided in the rooms below.
"""
