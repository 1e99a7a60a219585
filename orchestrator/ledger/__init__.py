"""What is on disk of a study: written and read here, judged elsewhere.

It may import from `jobs`, `results` and the room `settings` of `orchestrator`. Read `layout` first.
"""
