"""What all schedulers share; `slurm` and `lsf` hold what is particular to each.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code`, `state`, `worker` of `orchestrator`.
Read `backend` first.
"""
