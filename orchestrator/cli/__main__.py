"""``python -m seedfold.orchestrator.cli``: the command, for environments where its script is not on the path."""

from __future__ import annotations

from seedfold.orchestrator.cli import main

if __name__ == "__main__":
    main()
