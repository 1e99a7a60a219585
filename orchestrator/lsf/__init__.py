"""LSF: what is particular to it, and nothing else."""
