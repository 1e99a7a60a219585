"""Studies in Python, for notebooks: their tables, jobs and reports.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker`, `schedulers`,
`login`, `dispatch`, `copies` of `orchestrator`. Read `study` first.
"""
