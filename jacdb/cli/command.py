"""How words become options: an option that takes one value is given once, and text is not taken for an option."""

from collections import Counter

import typer
from typer.core import TyperCommand

from jacdb.errors import UsageError


class Command(TyperCommand):
    """A command of jacdb's."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse what was typed.

        Raises:
            UsageError: an option that takes one value is given more than once: the last would replace the others.
        """
        words = _text_last(args)
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=[*words])
            given = Counter(param.opts[0] for param in order if param.opts[0].startswith("-") and not param.multiple)
            for option, times in given.items():
                if times > 1:
                    raise UsageError(f"{option} is given {times} times: it takes one value")
        return super().parse_args(ctx, words)


def _text_last(words: list[str]) -> list[str]:
    """Return the words with text that begins as an option does, such as SQL with a comment first, behind a ``--``."""
    if "--" in words:
        return words
    text = [word for word in words if word.startswith("-") and len(word.partition("=")[0].split()) > 1]
    return [word for word in words if word not in text] + ["--", *text] if text else words
