"""Getting the jobs of one task done: a process for each job, forked from a template process.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state` of `orchestrator`. Read
`worker` first.
"""
