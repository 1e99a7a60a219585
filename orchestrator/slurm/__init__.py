"""SLURM: what is particular to it, and nothing else. `seedfold.orchestrator.backend` says what a backend is."""
