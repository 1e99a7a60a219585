"""Getting jobs done: plan, ledger, dispatch, worker, and the `seedfold` command."""
