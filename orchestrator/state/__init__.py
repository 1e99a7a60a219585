"""The states of jobs and studies, derived from the ledger.

It may import from `jobs`, `results` and the rooms `settings`, `ledger`, `code` of `orchestrator`. Read `job_states`
first.
"""
