"""`python -m k3dasync`, and the installed command."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from k3dasync.cli import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
