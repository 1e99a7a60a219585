"""Searches need Optuna."""

from __future__ import annotations

import pytest

pytest.importorskip("optuna", reason="Optuna is not installed")
