"""What comes out: the store of predictions, tables, ensembles, reports."""
