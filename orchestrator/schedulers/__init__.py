"""What all schedulers have in common; `slurm` and `lsf` hold what only one of them needs.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker` of `orchestrator`.
Read `backend` first.
"""
