"""Predictions that were made elsewhere: read from files, checked row by row, and told apart by their content."""
