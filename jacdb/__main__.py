"""``python -m jacdb`` is ``jacdb``."""

from jacdb import interruption


def main() -> None:
    """Run the command line; from its first import on, Ctrl-C is one line."""
    with interruption.handled():
        from jacdb import cli

        cli.main()


if __name__ == "__main__":
    main()
