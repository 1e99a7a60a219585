"""Everything that gets jobs done: plan, ledger, dispatch, worker, and the `seedfold` command.

Its rooms may import from `jobs` and `results`; `trainers` is started by name, inside the jobs. Read `ledger.layout`
first, then `dispatch.launch`.
"""
