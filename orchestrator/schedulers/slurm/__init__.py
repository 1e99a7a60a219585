"""What is particular to SLURM, and nothing else: `seedfold.orchestrator.schedulers.backend` says what a backend is."""
