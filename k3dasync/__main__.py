"""`python -m k3dasync`, and the installed command."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from k3dasync.cli import main as run
    except KeyboardInterrupt:  # as early as that
        sys.exit(130)
    sys.exit(run())


if __name__ == "__main__":
    main()
