"""Recipes for one kind of finding each: the library, and one folder a skill.

A skill is a folder with `SKILL.md`, `metadata.yaml` and `repair.py`. The modules beside the folders are what
skills share: edits that can be undone, the choice between candidates, imports.
"""
