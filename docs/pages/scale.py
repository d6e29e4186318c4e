"""What planning counted, in docs/scale.md, which is written by hand but for this."""

from pages.markdown import DOCS, markdown_table, of_benchmark

# What is made stands between these
PLAN_BEGINS, PLAN_ENDS = "<!-- planning: written by docs/generate.py -->\n", "<!-- end of planning -->\n"


def scale() -> str:
    """docs/scale.md, with what `benchmarks/planning.py` kept between two marks."""
    before, _, rest = (DOCS / "scale.md").read_text().partition(PLAN_BEGINS)
    _, _, after = rest.partition(PLAN_ENDS)
    kept = of_benchmark("planning")
    costs = [
        [env, f"{of['core_us']:g}", f"{of['core_hours']:.0f}", f"{of['bytes']}", f"{of['terabytes']:.2f}", of["source"]]
        for env, of in kept["environments"].items()
    ]
    files = [
        [env, *(_files(length, kept["hub_folder"], kept["hub_files"]) for length in of["lengths"])]
        for env, of in kept["environments"].items()
    ]
    lengths = [f"runs of {of['steps']:,} steps" for of in kept["environments"]["CheetahRun"]["lengths"]]
    queue = [
        [str(row["workers"]), f"{row['shards']:,}", f"{row['ideal']:.3f}"]
        + [f"{median:.3f}, {longest:.3f}" for median, longest in row["walls"]]
        for row in kept["queue"]
    ]
    failures = [f"{rate:g} failures an hour" for rate in kept["failures"]]
    parts = (
        markdown_table(("environment", "core µs a step", "core-hours", "bytes a step", "TB", "rates from"), costs),
        markdown_table(("environment", *lengths), files),
        markdown_table(("workers", "shards", "no loss", *failures), queue),
    )
    return before + PLAN_BEGINS + "\n" + "\n".join(parts) + "\n" + PLAN_ENDS + after


def _files(length: dict[str, int], folder: int, repository: int) -> str:
    """How many files a dataset has, and whether the Hub takes them in one repository."""
    fits = length["runs"] <= folder and length["files"] <= repository
    return f"{length['runs']:,} runs, {length['files']:,} files{'' if fits else ': too many'}"
