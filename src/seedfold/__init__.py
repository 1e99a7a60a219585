"""Seedfold: experiment matrices, done once."""

__version__ = "0.1.0"
