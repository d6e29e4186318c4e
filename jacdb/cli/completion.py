"""Names that the shell completes; the modules that know them are imported when it asks."""


def environments(incomplete: str) -> list[str]:
    """Return Playground's environments whose names begin so."""
    from jacdb.ingest.environments import registry

    return [name for name in registry.all_specs() if name.startswith(incomplete)]


def views(incomplete: str) -> list[str]:
    """Return the views whose names begin so."""
    from jacdb import queries

    return [name for name in queries.VIEWS if name.startswith(incomplete)]
