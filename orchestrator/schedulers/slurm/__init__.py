"""The backend for SLURM; `seedfold.orchestrator.schedulers.backend` describes what a backend is."""
