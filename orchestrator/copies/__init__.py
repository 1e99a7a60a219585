"""Copies of studies, to look at on another machine than the one on which they are worked on."""
