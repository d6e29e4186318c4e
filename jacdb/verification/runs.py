"""Check one run: its files, its small tables against each other, its rows, and some of its steps in the simulator."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb import schemas, simulator
from jacdb.dataset import integrity, manifest
from jacdb.dataset.layout import MANIFEST, PartPath, Run
from jacdb.dataset.schema_version import stored_version
from jacdb.errors import FailureError, first_line
from jacdb.progress import Event
from jacdb.schemas import trajectory_ids
from jacdb.schemas.trajectory_ids import RecordedStates
from jacdb.verification import partials, patterns, rows
from jacdb.verification.axes import MAX_AXES
from jacdb.verification.episodes import EpisodeChecks, malformed
from jacdb.verification.findings import Check, message
from jacdb.verification.replayer import RunReplayer
from jacdb.verification.rows import Dimensions, RowChecks, RunPatterns
from jacdb.verification.steps import Expected, RowCounts, StepChecks

FACTS = (
    "policy", "policy_config", "seed", "episodes", "steps", "n_rows", "n_excluded", "n_recomputed", "method", "dtype",
    "zero_threshold", "d_state", "d_action", "ctrl_dt", "sim_dt", "model", "versions", "schema_version", "suite",
    "replay_tolerance",
)  # fmt: skip


@dataclass
class RunChecks:
    """The checks of one run; ``perform`` runs them.

    Attributes:
        root: the dataset's folder.
        run: the run.
        finished: whether the run has a manifest and a row in `runs`.
        replayer: replays steps in the simulator; None if there is none.
        report: called with progress.
    """

    root: Path
    run: Run
    finished: bool
    replayer: RunReplayer | None
    report: Callable[[Event], None]
    _checks: dict[str, Check] = field(default_factory=dict, init=False)
    _version: int = field(default=schemas.SCHEMA_VERSION, init=False)  # of its files

    def perform(self, sample: int) -> list[Check]:
        """Perform the checks, each as far as those before allow.

        Args:
            sample: how many steps to replay.
        """
        paths = self._check_files()
        for path in paths:
            self._version = stored_version(pq.read_schema(self.root / path)) or self._version
        tables = {table.name: [path for path in paths if path.startswith(f"{table.name}/")] for table in schemas.TABLES}
        facts = self._read_facts(tables["runs"])
        dimensions = self._read_dimensions(tables["axes"], facts)
        if dimensions is None:
            self._check("shapes", "rows").note = "rows are not checked: axes and runs do not give their shapes"
            return list(self._checks.values())
        constants = {"env": self.run.env, "run_id": self.run.run_id}
        if facts:
            constants["policy"] = facts["policy"]
        threshold = facts["zero_threshold"] if facts else schemas.ZERO_THRESHOLD
        expected = Expected(dimensions, self._read_patterns(tables["patterns"], dimensions), threshold, constants)
        self._check_rows(tables["steps"], tables["episodes"], expected, facts)
        if sample:
            self._replay(tables["steps"], sample, dimensions, facts)
        summed = self.finished and (self.root / self.run.partials).is_file()
        if summed and not any(check.failed for check in self._checks.values()):
            partials.check(self.root, self.run, self._check("partials", "views"))
        return list(self._checks.values())

    def _check(self, name: str, unit: str) -> Check:
        """Return the check of this name; make it when it is asked for first."""
        return self._checks.setdefault(name, Check(self.run.env, self.run.run_id, name, unit))

    # --- files ----------------------------------------------------------------------------------------------

    def _check_files(self) -> list[str]:
        """Check the run's files; return the paths of the parts that can be read."""
        self.report(Event(f"checking files of {self.run.env}"))
        check, bad = self._check("files", "files"), set()
        folders = [self.root / self.run.folder(table.name) for table in schemas.TABLES]
        files = [file for folder in folders for file in sorted(folder.glob("part-*.parquet"))]
        present = [file.relative_to(self.root).as_posix() for file in files]
        named: Iterable[str] = ()
        if self.finished:
            try:
                named = manifest.read(self.root, self.run)
            except FailureError:
                check.note = "its checksums can't be read: files were not compared with them"
            for problem in integrity.check_runs(self.root, [self.run]):
                bad.add(problem.path)
                check.fail(problem.path, problem.wrong)
        else:
            needed = {"row in runs": self.run.row, MANIFEST: self.run.manifest}
            missing = [name for name, path in needed.items() if not (self.root / path).is_file()]
            check.note = f"unfinished: no {' and no '.join(missing)}"
        check.checked = len({*present, *named})
        return [path for path in present if path not in bad and self._is_readable(path, check)]

    def _is_readable(self, path: str, check: Check) -> bool:
        """Return whether a part's footer is in order; add a finding if it is not."""
        part = PartPath.parse(path)
        if part is None:
            return False
        try:
            with (self.root / path).open("rb") as stream:
                wrong = integrity.check_footer(stream, part)
        except OSError as error:
            wrong = _unreadable(error)
        if wrong:
            check.fail(path, wrong)
        return not wrong

    def _table(self, path: str, coded: Iterable[str] = ()) -> pa.Table | None:
        """Read a part of a small table and check that it agrees with its folders; return None if it can't be read.

        Args:
            path: the part.
            coded: text columns with few values, besides the usual ones, to read as codes: a corrupt file could unpack
                to any size.
        """
        name = path.split("/")[0]
        schema = next(one.schema for one in schemas.TABLES if one.name == name)
        schema = schemas.of_version(name, schema, self._version)
        codes = [column for column in ("env", "policy", "run_id", *coded) if column in schema.names]
        keys = self._check("keys", "rows")
        try:
            table = pq.read_table(self.root / path, partitioning=None, read_dictionary=codes)
            table.validate(full=True)
        except rows.UNREADABLE as error:
            self._check("files", "files").fail(path, _unreadable(error))
            return None
        for column in schema:
            if not column.nullable and table[column.name].null_count:
                nulls = table[column.name].is_null().to_numpy()
                keys.fail(path, f"{column.name} is null", int(np.argmax(nulls)))
                return None
        keys.checked += len(table)
        for name, value in (("env", self.run.env), ("run_id", self.run.run_id)):
            differs = pc.not_equal(table[name], value).to_numpy()
            wrong = message(f"{name} is {{!s:.80}}, its folder says {value}", table[name])
            keys.fail_rows(path, np.arange(len(table)), differs, wrong)
        return table

    # --- tables of few rows ---------------------------------------------------------------------------------

    def _read_facts(self, paths: list[str]) -> dict[str, Any] | None:
        """Return the run's row in `runs`, the columns that are checked; None if there is none."""
        for path in paths[:1]:
            if (count := pq.read_metadata(self.root / path).num_rows) != 1:
                self._check("run", "facts").fail(path, f"it has {count:,} rows; a run has one")
            elif (table := self._table(path)) is not None:
                return {name: table[name][0].as_py() if name in table.column_names else None for name in FACTS}
        return None

    def _read_dimensions(self, paths: list[str], facts: dict[str, Any] | None) -> Dimensions | None:
        """Return the run's dimensions; None if `axes` and `runs` do not agree on them."""
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
                    some = len(indices) or space == "action"  # a model need not have actuators
                    if not np.array_equal(indices, np.arange(len(indices))) or not some:
                        check.fail(path, f"space {space} has not every index from 0 on once")
                        return None
        if not spaces:
            return None
        dimensions = Dimensions(len(spaces["state"]), n_moving, len(spaces["tangent"]), len(spaces["action"]))
        if facts and (facts["d_state"], facts["d_action"]) != (dimensions.d_state, dimensions.d_action):
            wrong = (
                f"d_state and d_action are {facts['d_state']} and {facts['d_action']}, `axes` has"
                f" {dimensions.d_state} and {dimensions.d_action}"
            )
            check.fail(self.run.row, wrong, 0)
            return None
        return dimensions

    def _read_patterns(self, paths: list[str], dimensions: Dimensions) -> RunPatterns:
        """Check and return the run's patterns. A wrong one is left out: steps that name it become findings, too."""
        check = self._check("patterns", "patterns")
        kept: dict[int, tuple[bytes, bytes]] = {}
        for path in paths:
            if wrong := rows.oversized(self.root / path, "patterns", dimensions):
                check.fail(path, wrong)
                continue
            if (table := self._table(path, ["zero_state", "zero_action"])) is None:
                continue
            check.checked += len(table)
            columns = [name for name in (*patterns.COLUMNS, *patterns.WORDS) if name in table.column_names]
            for row in range(len(table)):
                row_says = {name: table[name][row].as_py() for name in columns}
                wrong = patterns.problem(row_says, dimensions)
                if not wrong and row_says["pattern_id"] in kept:
                    wrong = f"pattern {row_says['pattern_id']} occurs twice"
                if wrong:
                    check.fail(path, wrong, row)
                else:
                    kept[row_says["pattern_id"]] = (row_says["zero_state"], row_says["zero_action"])
        ids = np.array(sorted(kept), np.int64)
        packed = []
        for which, matrix in enumerate(("j_state", "j_action")):
            joined = b"".join(kept[ident][which] for ident in ids.tolist())
            packed.append(np.frombuffer(joined, np.uint8).reshape(len(ids), -(-dimensions.n_entries(matrix) // 8)))
        return RunPatterns(ids, *packed)

    # --- rows -----------------------------------------------------------------------------------------------

    def _check_rows(
        self, steps: list[str], episodes: list[str], expected: Expected, facts: dict[str, Any] | None
    ) -> None:
        """Check the rows of `steps`, and the rows of `episodes` that sum them up."""
        checks = StepChecks(
            RowChecks(
                keys=self._check("keys", "rows"),
                shapes=self._check("shapes", "rows"),
                finite=self._check("finite", "rows"),
                zeros=self._check("zeros", "rows"),
                contacts=self._check("contacts", "rows"),
                tolerance=facts["replay_tolerance"] if facts else math.inf,  # not known before the row in `runs`
            ),
            EpisodeChecks(
                self._check("order", "rows"),
                self._check("joined", "rows"),
                self._check("summaries", "episodes"),
                _cut_length(facts),
                expected.dimensions,
                self._recorded(facts),
            ),
        )
        parts, summaries = _by_number(steps), _by_number(episodes)
        files, numbers = self._check("files", "files"), parts.keys() | summaries.keys()
        # Where a file of a pair is missing, that is a finding already, or the run is being written: skip the pair.
        complete = numbers if self.finished and not files.failed else parts.keys() & summaries.keys()
        if skipped := sorted(numbers - complete):
            files.note = "; ".join(filter(None, [files.note, f"parts {skipped} are not complete: rows not checked"]))
        for number in sorted(complete):
            rows_by_episode = {}
            if number in summaries:
                rows_by_episode = self._read_summaries(summaries[number], number, expected.dimensions, facts)
            checks.episodes.begin(summaries.get(number, "`episodes`"), rows_by_episode)
            if number in parts:
                self._check_part(parts[number], expected, checks)
            else:
                checks.episodes.end(f"part {number} of `steps`, which is missing")
        if facts and not files.failed:
            self._compare(facts, checks.counts, checks.episodes.seen)

    def _read_summaries(
        self, path: str, number: int, dimensions: Dimensions, facts: dict[str, Any] | None
    ) -> dict[int, dict[str, Any]]:
        """Return the rows of a part of `episodes` by episode, without those that are wrong in themselves."""
        check, kept = self._check("summaries", "episodes"), {}
        if wrong := rows.oversized(self.root / path, "episodes", dimensions):
            check.fail(path, wrong)
            return {}
        if (table := self._table(path)) is None:
            return {}
        for place, row in enumerate(table.to_pylist()):
            wrong = malformed(row, dimensions)
            if row["part"] != number:
                wrong = f"episode {row['episode']} is said to be in part {row['part']} of steps; this is part {number}"
            elif row["episode"] in kept:
                wrong = f"episode {row['episode']} occurs twice"
            elif facts and row["policy"] != facts["policy"]:
                wrong = f"policy is {row['policy']!r:.80}, the run's is {facts['policy']!r:.80}"
            elif facts and (ident := self._other_id(row, facts)) is not None:
                wrong = f"trajectory_id is {row['trajectory_id']}, by the row in runs it is {ident}"
            if wrong:
                check.fail(path, wrong, place)
            else:
                former = facts is not None and row.get("trajectory_id") == self._former_id(row["episode"], facts)
                of_states = None if former else row.get("trajectory_id")  # what is compared with the states, if any
                kept[row["episode"]] = {**row, "trajectory_id": of_states, "row": place}
        return kept

    def _former_id(self, episode: int, facts: dict[str, Any], planned: int | None = None) -> int:
        """Return the id that an episode had before 1.0; Playground's have it still, unless noise is planned."""
        determining = {name: facts[name] for name in ("policy", "policy_config", "seed", "model")}
        return schemas.trajectory_id(self.run.env, episode=episode, planned=planned, **determining)

    def _other_id(self, row: dict[str, Any], facts: dict[str, Any]) -> int | None:
        """Return the id that a row of `episodes` should have; None where it has it, or the states say it."""
        former = self._former_id(row["episode"], facts)
        if row.get("trajectory_id") in (None, former):
            return None
        if facts["suite"] in (None, schemas.PLAYGROUND):
            # which of both it is only the environment can say, whose own length stands nowhere in the dataset
            is_planned = row["trajectory_id"] == self._former_id(row["episode"], facts, facts["steps"])
            return None if is_planned else former
        if not trajectory_ids.is_rollout(facts["policy_config"]):
            return None
        constants = facts["policy_config"], facts["seed"], facts["model"], _substeps(facts)
        ident = trajectory_ids.of_rollout(self.run.env, *constants, row["episode"])
        return None if row["trajectory_id"] == ident else ident

    def _recorded(self, facts: dict[str, Any] | None) -> Callable[[], RecordedStates] | None:
        """Return what makes hashes of a recording's episodes; None where ids are not made of states."""
        if not facts or facts["suite"] in (None, schemas.PLAYGROUND):
            return None
        if trajectory_ids.is_rollout(facts["policy_config"]):
            return None
        return partial(RecordedStates, self.run.env, facts["model"], _substeps(facts))

    def _check_part(self, path: str, expected: Expected, checks: StepChecks) -> None:
        """Check the rows of a part of `steps`, batch by batch."""
        try:
            if wrong := rows.oversized(self.root / path, "steps", expected.dimensions):
                checks.rows.shapes.fail(path, wrong)
                return
            first, total = 0, pq.read_metadata(self.root / path).num_rows
            for batch in rows.batches(self.root / path, expected.dimensions):
                checks.take(path, np.arange(first, first + len(batch)), batch, expected)
                first += len(batch)
                self.report(Event(f"checking rows of {self.run.env}, {Path(path).stem}", first, total, "rows"))
            checks.episodes.end(path)
        except rows.UNREADABLE as error:
            self._check("files", "files").fail(path, _unreadable(error))

    # --- steps in the simulator -----------------------------------------------------------------------------

    def _replay(self, paths: list[str], sample: int, dimensions: Dimensions, facts: dict[str, Any] | None) -> None:
        """Replay steps, if the rows are in order and there is a simulator; note the reason if not."""
        check = self._check("replay", "steps")
        if facts is None:
            check.note = "not replayed: without a row in runs the seed is not known"
        elif failed := [name for name in ("files", "shapes", "order", "run") if self._checks[name].failed]:
            check.note = f"not replayed: the check of {failed[0]} failed"
        elif self.replayer is not None:
            self.replayer(self.root, self.run, paths, sample, dimensions, facts, self._check, self.report)
        elif name := simulator.missing():
            check.note = f"not replayed: the simulator is not installed ({name} is missing)"
        else:
            check.note = "not replayed: no replayer was given"

    def _compare(self, facts: dict[str, Any], counts: RowCounts, episodes: set[int]) -> None:
        """Compare the run's row in `runs` with what its rows add up to."""
        check = self._check("run", "facts")
        counted: dict[str, Any] = {
            "n_rows": counts.rows,
            "n_excluded": counts.excluded,
            "n_recomputed": counts.methods.total() - counts.methods[facts["method"]],
            "schema_version": self._version,
        }
        if self.finished:
            counted["episodes"] = len(episodes)
        if len(counts.dtypes) == 1:
            counted["dtype"] = next(iter(counts.dtypes))
        for name, value in counted.items():
            check.checked += 1
            if facts[name] != value:
                check.fail(self.run.row, f"{name} is {facts[name]!r}, the run has {value!r}", 0)
        if self.finished and (odd := sorted(episodes ^ set(range(len(episodes))))):
            check.fail(self.run.row, f"episodes are not numbered from 0 on: {odd[:5]} are missing or too many", 0)


def _substeps(facts: dict[str, Any]) -> int:
    """Return the physics steps in a control step of a run; 0 where its times are none."""
    ratio = facts["ctrl_dt"] / facts["sim_dt"] if facts["sim_dt"] else 0.0
    return round(ratio) if np.isfinite(ratio) else 0


def _cut_length(facts: dict[str, Any] | None) -> int | None:
    """Return the length at which a run's episodes are cut; None if there is none.

    Playground's are cut at the length that was asked for. Of all other runs `steps` is only the longest episode's:
    those of a recording have lengths of their own, and a simulation that gets unstable ends before its time.
    """
    return facts["steps"] if facts and facts["suite"] in (None, schemas.PLAYGROUND) else None


def _by_number(paths: list[str]) -> dict[int, str]:
    """Return parts by their numbers."""
    return {part.number: path for path in paths if (part := PartPath.parse(path))}


def _unreadable(error: Exception) -> str:
    return f"it can't be read: {first_line(error)[:200]}"
