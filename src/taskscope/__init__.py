"""Taskscope: see what a coding agent did. This is its public face: it hands names on and defines nothing."""
