"""What runs inside a job of a program that is not ours, started by ``@hydra.main``."""
