"""The leaderboard in docs/learning.md, which is written by hand but for this."""

from pathlib import Path

from jacdb.dataset.dataset import Dataset
from jacdb.report import leaderboard
from pages.markdown import DOCS, ROOT

# What is made stands between these
BOARD_BEGINS, BOARD_ENDS = "<!-- leaderboard: written by docs/generate.py -->\n", "<!-- end of the leaderboard -->\n"


def learning() -> str:
    """docs/learning.md, with the leaderboard of what `make learning` kept between two marks; nothing without it."""
    page, folder = (DOCS / "learning.md").read_text(), ROOT / "datasets/reference/learning"
    before, _, rest = page.partition(BOARD_BEGINS)
    _, _, after = rest.partition(BOARD_ENDS)
    return f"{before}{BOARD_BEGINS}{learned(folder)}{BOARD_ENDS}{after}"


def learned(folder: Path) -> str:
    """The leaderboard of the results of learning in a folder; nothing if there are none."""
    if not folder.is_dir():
        return ""
    with Dataset(folder) as kept:
        board = [row for env in kept.learned_environments for row in leaderboard.rows(kept, env)]
    return f"\n{leaderboard.NOTE}\n\n{leaderboard.markdown(board)}\n\n"
