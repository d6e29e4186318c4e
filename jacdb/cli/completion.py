"""Names that the shell completes; the modules that know them are imported when it asks."""


def environments(incomplete: str) -> list[str]:
    """Return the environments whose names begin so: Playground's, and those of suites that are installed."""
    from jacdb.ingest.environments import registry
    from jacdb.ingest.sources import suites

    names = [*registry.all_specs(), *(env.typed for env in suites.installed_envs())]
    return [name for name in names if name.startswith(incomplete)]


def views(incomplete: str) -> list[str]:
    """Return the views whose names begin so."""
    from jacdb import queries

    return [name for name in queries.VIEWS if name.startswith(incomplete)]
