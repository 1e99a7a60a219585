"""Workers run the jobs of one task: each job in a process of its own, forked from a template process.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state` of `orchestrator`. Read
`worker` first.
"""
