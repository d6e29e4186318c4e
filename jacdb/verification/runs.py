"""The checks of one run: its files, what its tables say of each other, its rows, and some of its steps, taken again."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb import schemas, simulator
from jacdb.dataset import integrity, manifest
from jacdb.dataset.manifest import Part, Run
from jacdb.errors import FailureError, first_line
from jacdb.progress import Event
from jacdb.verification import rows
from jacdb.verification.episodes import EpisodeChecks, malformed
from jacdb.verification.findings import Check, message
from jacdb.verification.rows import Dimensions, Patterns, RowChecks

FACTS = ("policy", "seed", "episodes", "steps", "n_rows", "n_excluded", "n_recomputed", "method", "dtype",
         "zero_threshold", "d_state", "d_action", "model", "versions", "schema_version")  # fmt: skip
MAX_AXES = 100_000


@dataclass
class RunChecks:
    """The checks of one run.

    Attributes:
        root: the dataset's folder.
        finished: whether the run has a manifest and a row in `runs`.
        report: called with progress.
    """

    root: Path
    run: Run
    finished: bool
    report: Callable[[Event], None]
    _made: dict[str, Check] = field(default_factory=dict, init=False)

    def made(self, sample: int) -> list[Check]:
        """Make them, as far as each allows the next; ``sample`` steps are taken again."""
        paths = self._files()
        tables = {table.name: [path for path in paths if path.startswith(f"{table.name}/")] for table in schemas.TABLES}
        fact = self._fact(tables["runs"])
        sizes = self._sizes(tables["axes"], fact)
        if sizes is None:
            self._check("shapes", "rows").note = "rows are not checked: axes and runs do not say what they should be"
            return list(self._made.values())
        threshold = fact["zero_threshold"] if fact else schemas.ZERO_THRESHOLD
        expected = {"env": self.run.env, "run_id": self.run.run_id}
        if fact:
            expected["policy"] = fact["policy"]
        of = _Whole(sizes, self._patterns(tables["patterns"], sizes), threshold, expected)
        self._rows(tables["steps"], tables["episodes"], of, fact)
        if sample:
            self._take_again(tables["steps"], sample, sizes, fact)
        return list(self._made.values())

    def _check(self, name: str, of: str) -> Check:
        return self._made.setdefault(name, Check(self.run.env, self.run.run_id, name, of))

    # --- files ----------------------------------------------------------------------------------------------

    def _files(self) -> list[str]:
        """Check the run's files; returns those that can be read."""
        self.report(Event(f"checking files of {self.run.env}"))
        check, wrong = self._check("files", "files"), set()
        folders = [self.root / self.run.folder(table.name) for table in schemas.TABLES]
        found = [path for folder in folders for path in sorted(folder.glob("part-*.parquet"))]
        there = [path.relative_to(self.root).as_posix() for path in found]
        named: Iterable[str] = ()
        if self.finished:
            try:
                named = manifest.read(self.root, self.run)
            except FailureError:
                check.note = "its checksums can't be read: files were not compared with them"
            for found_wrong in integrity.check_runs(self.root, [self.run]):
                wrong.add(found_wrong.path)
                check.fail(found_wrong.path, found_wrong.wrong)
        else:
            needed = {"row in runs": f"{self.run.folder('runs')}/part-00000.parquet", manifest.NAME: self.run.manifest}
            lacks = [what for what, path in needed.items() if not (self.root / path).is_file()]
            check.note = f"unfinished: no {' and no '.join(lacks)}"
        check.checked = len({*there, *named})
        readable = []
        for path in there:
            part = Part.of(path)
            if part is None or path in wrong:
                continue
            problem: str | None
            try:
                with (self.root / path).open("rb") as stream:
                    problem = integrity.check_footer(stream, part)
            except OSError as error:
                problem = _unreadable(error)
            if problem:
                check.fail(path, problem)
            else:
                readable.append(path)
        return readable

    def _table(self, path: str, coded: Iterable[str] = ()) -> pa.Table | None:
        """A part of a small table, if it can be read; whether it says what its folders say."""
        schema = next(table.schema for table in schemas.TABLES if table.name == path.split("/")[0])
        codes = [column for column in ("env", "policy", "run_id", *coded) if column in schema.names]
        keys = self._check("keys", "rows")
        try:
            read = pq.read_table(self.root / path, partitioning=None, read_dictionary=codes)
            read.validate(full=True)
        except rows.UNREADABLE as error:
            self._check("files", "files").fail(path, _unreadable(error))
            return None
        for column in schema:
            if not column.nullable and read[column.name].null_count:
                nulls = read[column.name].is_null().to_numpy()
                keys.fail(path, f"{column.name} is null", int(np.argmax(nulls)))
                return None
        keys.checked += len(read)
        for name, value in (("env", self.run.env), ("run_id", self.run.run_id)):
            other = pc.not_equal(read[name], value).to_numpy()
            wrong = message(f"{name} is {{!s:.80}}, its folder says {value}", read[name])
            keys.fail_rows(path, np.arange(len(read)), other, wrong)
        return read

    # --- tables of few rows ---------------------------------------------------------------------------------

    def _fact(self, paths: list[str]) -> dict[str, Any] | None:
        """What the run's row in `runs` says, as far as it is checked."""
        for path in paths[:1]:
            if (count := pq.read_metadata(self.root / path).num_rows) != 1:
                self._check("run", "facts").fail(path, f"it has {count:,} rows; a run has one")
            elif (table := self._table(path)) is not None:
                return {name: table[name][0].as_py() for name in FACTS}
        return None

    def _sizes(self, paths: list[str], fact: dict[str, Any] | None) -> Dimensions | None:
        """The run's dimensions: what `axes` and `runs` say, if they agree."""
        check, spaces = self._check("run", "facts"), {}
        for path in paths:
            if pq.read_metadata(self.root / path).num_rows > MAX_AXES:
                check.fail(path, f"it has more than {MAX_AXES:,} rows")
            elif (table := self._table(path, ["space", "quantity"])) is not None:
                names, index = np.asarray(table["space"].cast(pa.string())), np.asarray(table["index"])
                carried = np.isin(np.asarray(table["quantity"].cast(pa.string())), ("ctrl", "memory"))
                n_moving = int((~carried[names == "state"]).sum())
                spaces = {space: np.sort(index[names == space]) for space in ("state", "tangent", "action")}
                for space, indices in spaces.items():
                    check.checked += 1
                    if not np.array_equal(indices, np.arange(len(indices))) or not len(indices):
                        check.fail(path, f"space {space} has not every index from 0 on once")
                        return None
        if not spaces:
            return None
        sizes = Dimensions(len(spaces["state"]), n_moving, len(spaces["tangent"]), len(spaces["action"]))
        if fact and (fact["d_state"], fact["d_action"]) != (sizes.d_state, sizes.d_action):
            wrong = (
                f"d_state and d_action are {fact['d_state']} and {fact['d_action']}, `axes` has"
                f" {sizes.d_state} and {sizes.d_action}"
            )
            check.fail(self._runs_path, wrong, 0)
            return None
        return sizes

    @property
    def _runs_path(self) -> str:
        return f"{self.run.folder('runs')}/part-00000.parquet"

    def _patterns(self, paths: list[str], sizes: Dimensions) -> Patterns:
        """The run's patterns; of one that is wrong steps are told that it is not there."""
        check = self._check("patterns", "patterns")
        kept: dict[int, tuple[bytes, bytes]] = {}
        for path in paths:
            if (table := self._table(path, ["zero_state", "zero_action"])) is None:
                continue
            check.checked += len(table)
            for row in range(len(table)):
                said = {name: table[name][row].as_py() for name in ("pattern_id", "d_state", "d_action")}
                bits = [table[name][row].as_py() for name in ("zero_state", "zero_action")]
                wrong = _pattern_wrong(said, bits, sizes)
                if not wrong and said["pattern_id"] in kept:
                    wrong = f"pattern {said['pattern_id']} is there twice"
                if wrong:
                    check.fail(path, wrong, row)
                else:
                    kept[said["pattern_id"]] = (bits[0], bits[1])
        ids = np.array(sorted(kept), np.int64)
        packed = []
        for which, matrix in enumerate(("j_state", "j_action")):
            joined = b"".join(kept[ident][which] for ident in ids.tolist())
            packed.append(np.frombuffer(joined, np.uint8).reshape(len(ids), -(-sizes.n_entries(matrix) // 8)))
        return Patterns(ids, *packed)

    # --- rows -----------------------------------------------------------------------------------------------

    def _rows(self, steps: list[str], episodes: list[str], of: "_Whole", fact: dict[str, Any] | None) -> None:
        of_rows = RowChecks(*(self._check(name, "rows") for name in ("keys", "shapes", "finite", "zeros", "contacts")))
        of_episodes = EpisodeChecks(
            self._check("order", "rows"),
            self._check("joined", "rows"),
            self._check("summaries", "episodes"),
            fact["steps"] if fact else None,
            of.sizes,
        )
        parts, summaries = _by_number(steps), _by_number(episodes)
        files, every = self._check("files", "files"), parts.keys() | summaries.keys()
        sound = self.finished and not files.failed  # else what is missing has been told, or is being written
        whole = every if sound else parts.keys() & summaries.keys()
        if left := sorted(every - whole):
            files.note = "; ".join(filter(None, [files.note, f"parts {left} are not complete: rows not checked"]))
        for number in sorted(whole):
            told = self._summaries(summaries[number], number, of.sizes, fact) if number in summaries else {}
            of_episodes.begin(summaries.get(number, "`episodes`"), told)
            if number in parts:
                self._part(parts[number], of, of_rows, of_episodes)
            else:
                of_episodes.end(f"part {number} of `steps`, which is not there")
        if fact and not files.failed:
            self._compare(fact, of.counts, of_episodes.seen)

    def _summaries(
        self, path: str, number: int, sizes: Dimensions, fact: dict[str, Any] | None
    ) -> dict[int, dict[str, Any]]:
        """Rows of a part of `episodes`, by episode; those that can be held against their steps."""
        check, kept = self._check("summaries", "episodes"), {}
        if wrong := rows.swollen(self.root / path, "episodes", sizes):
            check.fail(path, wrong)
            return {}
        if (table := self._table(path)) is None:
            return {}
        for place, row in enumerate(table.to_pylist()):
            wrong = malformed(row, sizes)
            if row["part"] != number:
                wrong = f"episode {row['episode']} is said to be in part {row['part']} of steps; this is part {number}"
            elif row["episode"] in kept:
                wrong = f"episode {row['episode']} is there twice"
            elif fact and row["policy"] != fact["policy"]:
                wrong = f"policy is {row['policy']!r:.80}, the run's is {fact['policy']!r:.80}"
            if wrong:
                check.fail(path, wrong, place)
            else:
                kept[row["episode"]] = {**row, "row": place}
        return kept

    def _part(self, path: str, of: "_Whole", of_rows: RowChecks, of_episodes: EpisodeChecks) -> None:
        """The rows of a part of `steps`."""
        try:
            if wrong := rows.swollen(self.root / path, "steps", of.sizes):
                of_rows.shapes.fail(path, wrong)
                return
            first, total = 0, pq.read_metadata(self.root / path).num_rows
            for batch in rows.batches(self.root / path, of.sizes):
                self._batch(path, np.arange(first, first + len(batch)), batch, of, of_rows, of_episodes)
                first += len(batch)
                self.report(Event(f"checking rows of {self.run.env}, {Path(path).stem}", first, total, "rows"))
            of_episodes.end(path)
        except rows.UNREADABLE as error:
            self._check("files", "files").fail(path, _unreadable(error))

    def _batch(
        self,
        path: str,
        numbers: np.ndarray,
        batch: pa.RecordBatch,
        of: "_Whole",
        of_rows: RowChecks,
        of_episodes: EpisodeChecks,
    ) -> None:
        kept, wrong = rows.regular(batch, of.sizes)
        of_rows.shapes.checked += len(batch)
        of_rows.shapes.fail_rows(path, numbers, ~kept, wrong)
        of_rows.of_keys(path, numbers, batch, of.expected)
        regular = rows.read(batch.filter(pa.array(kept)), numbers[kept], of.sizes)
        of_rows(path, regular, of.sizes, of.patterns, of.threshold)
        keys = np.stack([batch.column(name).fill_null(-1).to_numpy() for name in ("episode", "step")], axis=1)
        of_episodes(path, numbers, keys, kept, regular)
        of.counts.rows += len(batch)
        of.counts.excluded += int((~regular.scalars["finite"]).sum())
        of.counts.methods.update(regular.scalars["method"].tolist())
        of.counts.dtypes.add(str(regular.values["j_state"].dtype))

    # --- steps, taken again ---------------------------------------------------------------------------------

    def _take_again(self, paths: list[str], sample: int, sizes: Dimensions, fact: dict[str, Any] | None) -> None:
        check = self._check("replay", "steps")
        if fact is None:
            check.note = "not replayed: without a row in runs there is no seed"
        elif broken := [name for name in ("files", "shapes", "order", "run") if self._made[name].failed]:
            check.note = f"not replayed, for {broken[0]} are wrong"
        elif name := simulator.missing():
            check.note = f"not replayed: the simulator is not installed ({name} is missing)"
        else:
            from jacdb.ingest.replay import checks

            checks.replay_run(self.root, self.run, paths, sample, sizes, fact, self._check, self.report)

    def _compare(self, fact: dict[str, Any], counts: "_Counts", episodes: set[int]) -> None:
        """What the run's row says of its rows."""
        check = self._check("run", "facts")
        found: dict[str, Any] = {
            "n_rows": counts.rows,
            "n_excluded": counts.excluded,
            "n_recomputed": counts.methods.total() - counts.methods[fact["method"]],
            "schema_version": schemas.SCHEMA_VERSION,
        }
        if self.finished:
            found["episodes"] = len(episodes)
        if len(counts.dtypes) == 1:
            found["dtype"] = next(iter(counts.dtypes))
        for name, value in found.items():
            check.checked += 1
            if fact[name] != value:
                check.fail(self._runs_path, f"{name} is {fact[name]!r}, the run has {value!r}", 0)
        if self.finished and (odd := sorted(episodes ^ set(range(len(episodes))))):
            check.fail(self._runs_path, f"episodes are not numbered from 0 on: {odd[:5]} are missing or too many", 0)


@dataclass
class _Counts:
    """What a run's rows add up to."""

    rows: int = 0
    excluded: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    dtypes: set[str] = field(default_factory=set)


@dataclass
class _Whole:
    """What all rows of a run are held against, and what they add up to."""

    sizes: Dimensions
    patterns: Patterns
    threshold: float
    expected: dict[str, str]  # columns that are one value throughout
    counts: _Counts = field(default_factory=_Counts)


def _by_number(paths: list[str]) -> dict[int, str]:
    return {part.number: path for path in paths if (part := Part.of(path))}


def _pattern_wrong(said: dict[str, Any], bits: list[bytes], sizes: Dimensions) -> str | None:
    """What is wrong with a row of `patterns`; None if nothing."""
    if (said["d_state"], said["d_action"]) != (sizes.d_state, sizes.d_action):
        found = f"d_state and d_action are {said['d_state']} and {said['d_action']}"
        return f"{found}, the run's {sizes.d_state} and {sizes.d_action}"
    for packed, matrix in zip(bits, ("j_state", "j_action"), strict=True):
        entries = sizes.n_entries(matrix)
        if len(packed) != -(-entries // 8):
            return f"the bits of {matrix} are {len(packed):,} bytes, {entries} entries take {-(-entries // 8)}"
        if entries % 8 and packed[-1] & (0xFF >> entries % 8):
            return f"bits of {matrix} that are no entry's are set"
    if (ident := schemas.pattern_id(sizes.d_state, sizes.d_action, b"".join(bits))) != said["pattern_id"]:
        return f"pattern_id is {said['pattern_id']}, the hash of its bits is {ident}"
    return None


def _unreadable(error: Exception) -> str:
    return f"it can't be read: {first_line(error)[:200]}"
