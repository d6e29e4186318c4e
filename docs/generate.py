"""Write what is made from the code and from measurements: seven pages, tables of two more, and a picture of imports.

Run it after a change to the command line, the tables, the views or the measurements kept in benchmarks/; a test fails
while a page is stale. Each page has a module of its own in docs/pages.
"""

import imports
from pages.command_line import cli
from pages.environments import environments
from pages.experts import experts
from pages.learning import learning
from pages.markdown import DOCS
from pages.models import models
from pages.peers import peers
from pages.reproduction import reproduction
from pages.scale import scale
from pages.tables import tables

PAGES = {
    "cli.md": cli,
    "tables.md": tables,
    "environments.md": environments,
    "models.md": models,
    "peers.md": peers,
    "reproduction.md": reproduction,
    "experts.md": experts,
    "learning.md": learning,
    "scale.md": scale,
    "architecture.svg": imports.picture,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
