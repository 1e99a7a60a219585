"""Hydra configuration tree: what can be asked for."""
