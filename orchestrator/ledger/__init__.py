"""The files of a study: they are written and read here. Other rooms conclude from them what the state of a job is.

It may import from `jobs`, `results` and the room `settings` of `orchestrator`. Read `layout` first.
"""
