"""``python -m seedfold``: the command."""

from seedfold.orchestrator.cli import main

if __name__ == "__main__":
    main()
