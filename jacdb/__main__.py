"""``python -m jacdb`` is ``jacdb``."""

from jacdb.cli import main

main()
