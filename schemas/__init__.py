"""The tables of a jacdb dataset: columns, types, units and null rules. One source for writer, checks and docs.

A column is nullable only where its description says when it is null. Partition columns (env, run_id) stand in the
files as well: Hugging Face's `datasets` does not add hive columns.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

SCHEMA_VERSION = 3
VERSION_KEY = b"jacdb.schema_version"  # in the metadata of every Parquet file
DTYPE_KEY = b"jacdb.dtype"  # in that of a run's axes, which come first: of which type its matrices will be
PARTIALS_KEY = b"jacdb.partials"  # in those of `partials`: which SQL made them, from which files
# The columns that a version added, by table
ADDED = {
    2: {"patterns": ("zero_state_words", "zero_action_words"), "episodes": ("trajectory_id",)},
    3: {"steps": ("replay_error",), "runs": ("suite", "source", "source_version", "licence", "replay_tolerance")},
}
PLAYGROUND = "playground"  # the suite of MuJoCo Playground's environments

ZERO_THRESHOLD = 1e-12  # an entry is zero below it (the paper's, for ground truth)
SWEEP = tuple(float(f"1e-{k}") for k in range(16, 1, -1))  # thresholds of `threshold_sweep`

VECTOR = pa.list_(pa.float64())
COUNTS = pa.list_(pa.int64())
WORDS = pa.list_(pa.int64())  # of 32 bits: never negative
CONTACT = pa.struct(
    [
        pa.field("geom1", pa.string(), nullable=False),
        pa.field("geom2", pa.string(), nullable=False),
        pa.field("distance", pa.float64(), nullable=False),
        pa.field("normal_force", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Table:
    """A table: its name, what one row is, and its columns (each with its description, unit included)."""

    name: str
    grain: str
    schema: pa.Schema

    def describe(self) -> list[tuple[str, str, str]]:
        """Return (column, type, description) of every column."""
        return [(f.name, str(f.type), f.metadata[b"description"].decode()) for f in self.schema]


def _table(name: str, grain: str, *columns: tuple[str, pa.DataType, str], nullable: tuple[str, ...] = ()) -> Table:
    fields = [
        pa.field(column, kind, nullable=column in nullable, metadata={"description": text})
        for column, kind, text in columns
    ]
    return Table(name, grain, pa.schema(fields, {VERSION_KEY: str(SCHEMA_VERSION)}))


_ENV = ("env", pa.string(), "the environment's name, in its suite, or the model's")
_RUN = ("run_id", pa.string(), "the run that wrote the row")
_LEARNED = ("run_id", pa.string(), "the model's id: its name, loss and seed, and a hash of all that determines it")
_EPISODE = ("episode", pa.int32(), "episode within the run, from 0")
_REPLAY_ERROR = (
    "replay_error",
    pa.float64(),
    "how far the state that the engine reaches from `state` is from `next_state`, relative to it where that is"
    " larger than 1, in tangent coordinates; infinite where the engine has NaN; no unit; null where the engine"
    " made `next_state` itself",
)


def dtype_of_steps(schema: pa.Schema) -> str:
    """Return the type of a matrix entry in a file of `steps`: float32 or float64."""
    return "float32" if schema.field("j_state").type.value_type.value_type == pa.float32() else "float64"


def steps(jacobian: pa.DataType | None = None) -> Table:
    """Return the `steps` table; ``jacobian`` is the type of a matrix entry (float32 unless the run kept float64)."""
    matrix = pa.list_(pa.list_(jacobian or pa.float32()))
    return _table(
        "steps",
        "one control step of an environment",
        _ENV,
        ("policy", pa.string(), "the policy that chose the action"),
        _RUN,
        _EPISODE,
        ("step", pa.int32(), "control step within the episode, from 0"),
        (
            "state",
            VECTOR,
            "qpos, qvel, and ctrl and memory where they are state, before the step; axes of space 'state'",
        ),
        ("action", VECTOR, "the action as the policy gave it; axes of space 'action'"),
        ("next_state", VECTOR, "the state after the step, before any reset; axes of space 'state'"),
        ("reward", pa.float64(), "the environment's reward for the step; no unit; null where its source has none"),
        ("done", pa.bool_(), "the environment ended the episode at this step"),
        ("truncated", pa.bool_(), "the episode was cut at this step for its length"),
        (
            "j_state",
            matrix,
            "rows of d next x / d x in tangent space; axes of space 'tangent'; row unit per column unit",
        ),
        (
            "j_action",
            matrix,
            "rows of d next x / d action; rows 'tangent', columns 'action'; row unit per column unit",
        ),
        ("pattern_id", pa.int64(), "the zero pattern of both matrices, in `patterns`; null where not finite"),
        ("n_zero_state", pa.int32(), "zero entries of j_state, decided in float64; null where not finite"),
        ("n_zero_action", pa.int32(), "zero entries of j_action, decided in float64; null where not finite"),
        ("in_contact", pa.bool_(), "whether any two geoms touch in any substep"),
        ("n_contacts", pa.int32(), "pairs of geoms that touch in the step"),
        (
            "contacts",
            pa.list_(CONTACT),
            "one entry per touching pair: smallest distance over points and substeps (m), and normal force"
            " summed over points and averaged over all substeps (N)",
        ),
        (
            "active",
            pa.list_(pa.string()),
            "other constraints that hold in any substep, as kind:name (joint_limit, tendon_limit,"
            " friction_holds, ctrl_clip, force_clip, joint_force_clip)",
        ),
        (
            "residual",
            pa.float64(),
            "how far the constraint solver stopped from the solution, norm of r over norm of forces; no unit",
        ),
        ("method", pa.string(), "how this row's matrices were computed: implicit, unrolled, autodiff or fd"),
        ("finite", pa.bool_(), "whether state, matrices and reward are free of NaN and infinity"),
        _REPLAY_ERROR,
        nullable=("reward", "pattern_id", "n_zero_state", "n_zero_action", "replay_error"),
    )


PATTERNS = _table(
    "patterns",
    "one distinct zero pattern of a run; a bit is 1 where the entry is zero",
    _ENV,
    _RUN,
    ("pattern_id", pa.int64(), "a hash of the bits: the same pattern has the same id everywhere"),
    ("d_state", pa.int32(), "rows and columns of j_state"),
    ("d_action", pa.int32(), "columns of j_action"),
    ("zero_state", pa.binary(), "bits of j_state, row by row, first entry in the highest bit of the first byte"),
    ("zero_action", pa.binary(), "bits of j_action, likewise"),
    (
        "zero_state_words",
        WORDS,
        "the bits of j_state as words of 32 bits, for engines that count the bits of integers: entry i, row by row, is"
        " bit i % 32, counted from the lowest, of word i // 32; bits beyond the last entry are 0",
    ),
    ("zero_action_words", WORDS, "the bits of j_action, likewise"),
)

EPISODES = _table(
    "episodes",
    "one episode, complete",
    _ENV,
    ("policy", pa.string(), "the policy that chose the actions"),
    _RUN,
    _EPISODE,
    ("n_steps", pa.int32(), "control steps"),
    ("total_reward", pa.float64(), "sum of rewards (the return); null where a step has none"),
    ("done", pa.bool_(), "the environment ended it"),
    ("truncated", pa.bool_(), "it was cut for its length"),
    ("n_contact_steps", pa.int32(), "steps in which any two geoms touch"),
    ("n_excluded", pa.int32(), "steps that are not finite and count in no statistic"),
    (
        "largest_state",
        pa.list_(VECTOR),
        "largest absolute value of each entry of j_state; null where no step counts (not finite, or method fd)",
    ),
    ("largest_action", pa.list_(VECTOR), "likewise of j_action"),
    ("below_state", COUNTS, "entries of j_state below 1e-16, 1e-15, … 1e-2, summed over steps; null likewise"),
    ("below_action", COUNTS, "likewise of j_action"),
    ("part", pa.int32(), "the number of the Parquet part that holds its steps"),
    (
        "trajectory_id",
        pa.int64(),
        "a hash of what determines its states (environment, policy and its settings, seed, model, physics steps,"
        " episode, and the length that noise is drawn for; of a recording its states and actions), not of how they"
        " were differentiated or stored: the same episode by another method has the same id",
    ),
    nullable=("total_reward", "largest_state", "largest_action", "below_state", "below_action"),
)

AXES = _table(
    "axes",
    "one dimension of one space of an environment",
    _ENV,
    _RUN,
    ("space", pa.string(), "tangent (rows and columns of the Jacobians), state (stored vectors) or action"),
    ("index", pa.int32(), "position in the vector or matrix, from 0"),
    ("name", pa.string(), "a name, unique in its space"),
    ("joint", pa.string(), "the joint, or the actuator of a ctrl or action; null where there is none"),
    ("body", pa.string(), "the body that the joint moves, body3 if it has no name; null where there is none"),
    ("quantity", pa.string(), "position, orientation, velocity, angular velocity, activation, ctrl, memory or action"),
    ("unit", pa.string(), "SI unit; '1' where there is none"),
    nullable=("joint", "body"),
)

RUNS = _table(
    "runs",
    "one finished run of ingest; written last",
    _ENV,
    ("policy", pa.string(), "the policy's name"),
    _RUN,
    ("policy_config", pa.string(), "the policy's settings, as JSON"),
    ("seed", pa.int64(), "seed of resets and policy noise"),
    ("episodes", pa.int32(), "episodes asked for, or recorded"),
    ("steps", pa.int32(), "control steps an episode may have"),
    ("num_envs", pa.int32(), "environments that were stepped side by side"),
    ("n_rows", pa.int64(), "rows in `steps`"),
    ("n_excluded", pa.int64(), "rows that are not finite, those included whose step the engine does not repeat"),
    ("n_recomputed", pa.int64(), "rows computed by another method than the run's, for the solver had stopped early"),
    ("method", pa.string(), "the run's method"),
    ("dtype", pa.string(), "type in which matrix entries are stored"),
    ("zero_threshold", pa.float64(), "an entry is zero below it, in float64 and absolute value"),
    (
        "residual_tolerance",
        pa.float64(),
        "residual above which an implicit run computes a row by another method; no unit",
    ),
    ("d_state", pa.int32(), "tangent dimensions of the state"),
    ("d_action", pa.int32(), "dimensions of the action"),
    ("ctrl_dt", pa.float64(), "one control step (s)"),
    ("sim_dt", pa.float64(), "one physics step (s)"),
    ("held", pa.list_(pa.string()), "what a step reads beyond state and action, held constant in the derivative"),
    ("model", pa.string(), "a hash of the compiled MuJoCo model"),
    ("versions", pa.string(), "versions of everything that changes numbers, as JSON"),
    (
        "started",
        pa.timestamp("us"),
        "when the command that finished the run began, in UTC; of a run made in shards, the first of these",
    ),
    ("seconds", pa.float64(), "how long that command took (s), compilation included; of shards, all together"),
    ("schema_version", pa.int32(), "version of these tables"),
    (
        "suite",
        pa.string(),
        "where the trajectories are from: playground, gymnasium, dm_control, model (of one's own), minari, d4rl,"
        " lerobot or file (npz, Parquet)",
    ),
    ("source", pa.string(), "the environment's id there, the dataset's id, or the file's name; null for Playground's"),
    (
        "source_version",
        pa.string(),
        "the version of what made it, or of its format, as the source says; null where it says none",
    ),
    ("licence", pa.string(), "the source's licence, as it says itself; null where it says none"),
    (
        "replay_tolerance",
        pa.float64(),
        "the replay error above which a step is excluded; no unit; null where no step was recorded elsewhere",
    ),
    nullable=("source", "source_version", "licence", "replay_tolerance"),
)


def _rows(**columns: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(columns.items()))


_TEXT, _INT, _LONG, _BYTES = pa.string(), pa.int32(), pa.int64(), pa.binary()
_AXIS = _rows(space=_TEXT, index=_INT, name=_TEXT, joint=_TEXT, body=_TEXT, quantity=_TEXT, unit=_TEXT)
_SIZES = {"d_state": _INT, "d_action": _INT}
_PATTERN = _rows(pattern_id=_LONG, **_SIZES, zero_state=_BYTES, zero_action=_BYTES, counts=_LONG)
_HELD = {"contacts": _rows(geom1=_TEXT, geom2=_TEXT), "active": pa.list_(_TEXT)}
_SET = _rows(**_HELD, steps=_LONG, zero_state=_LONG, zero_action=_LONG)
_SWITCH = _rows(kind=_TEXT, steps=_LONG, pattern_switches=_LONG, constraint_switches=_LONG, together=_LONG)
_DURATION = _rows(jacobian=_TEXT, zero=pa.bool_(), duration=_INT, runs=_LONG)
_THRESHOLDS = _rows(jacobian=_TEXT, largest=VECTOR, below=COUNTS, steps=_LONG)
PARTIALS = _table(
    "partials",
    "one finished run: what its steps add up to, a list of rows in each column",
    _ENV,
    _RUN,
    ("sample_counts", _rows(samples=_LONG, excluded=_LONG), "steps that count, and that do not"),
    ("axis_names", _AXIS, "the run's rows of `axes`"),
    ("pattern_counts", _PATTERN, "the zero patterns that its steps show, as in `patterns`, and in how many steps"),
    (
        "set_counts",
        _SET,
        "sets of constraints that hold together: in how many steps, and the zeros of these steps",
    ),
    ("switch_counts", _SWITCH, "in how many steps the constraints of a kind change, and the zero pattern with them"),
    ("duration_counts", _DURATION, "for how many steps entries stay zero, and stay non-zero: how often, all together"),
    ("threshold_counts", _THRESHOLDS, "each entry's largest absolute value; entries below 1e-16, 1e-15, … 1e-2"),
)

LEARNING_RUNS = _table(
    "learning_runs",
    "one model of the dynamics, trained or only scored, on one benchmark; written last",
    _ENV,
    _LEARNED,
    ("model", pa.string(), "the model's name: as registered, FILE.py:Class, or what a file of scores was called"),
    ("loss", pa.string(), "what it was trained on; null where it was not trained here"),
    ("weight", pa.float64(), "the weight of the loss's part on the Jacobian; null where it has none"),
    ("seed", pa.int64(), "seed of parameters and minibatches; null where it was not trained here"),
    ("target", pa.string(), "what it predicts: 'next', the next state, or 'delta', the change; null likewise"),
    ("configuration", pa.string(), "all its settings, as JSON"),
    ("benchmark", pa.string(), "a hash of rows, their split into three parts, and the rules: equal ones compare"),
    ("policy", pa.string(), "the policy whose rows are split; null for all"),
    ("n_train", pa.int64(), "rows of the training part"),
    ("n_validation", pa.int64(), "rows of the validation part"),
    ("n_test", pa.int64(), "rows of the test part"),
    ("n_parameters", pa.int64(), "numbers of its parameters, constants included; null where it was not trained here"),
    ("steps", pa.int64(), "training steps taken: minibatches; null likewise"),
    ("best_step", pa.int64(), "the step whose parameters are scored, of the least validation loss; null likewise"),
    ("validation_loss", pa.float64(), "that loss; null likewise"),
    ("seconds", pa.float64(), "training and scoring (s), compilation included, over all commands that it took"),
    ("device", pa.string(), "what it was computed on"),
    ("versions", pa.string(), "versions of everything that changes numbers, as JSON"),
    ("started", pa.timestamp("us"), "when the command that finished it began, in UTC"),
    ("n_scores", pa.int64(), "rows in `learning_scores`"),
    ("scores_sha256", pa.string(), "the checksum of the file that holds them"),
    nullable=(
        "loss", "weight", "seed", "target", "policy", "n_parameters", "steps", "best_step", "validation_loss",
    ),
)  # fmt: skip

LEARNING_SCORES = _table(
    "learning_scores",
    "one score of one model, over some rows",
    _ENV,
    _LEARNED,
    ("part", pa.string(), "whose rows: train, validation or test; untrained: test, by the model before its training"),
    ("rows", pa.string(), "which of them: all, contact, free, near_switch or other_policy"),
    ("metric", pa.string(), "what is measured; docs/learning.md defines each"),
    (
        "horizon",
        pa.int32(),
        "steps predicted in a row, or by which a switch may be off; null where the metric has none",
    ),
    ("threshold", pa.float64(), "the threshold below which an entry counts as zero; null where there is none"),
    ("row", pa.int32(), "the row of the Jacobian, from 0, where the score is of one entry; null where it is of all"),
    ("col", pa.int32(), "the entry's column, from 0: actions follow the columns of the state; null likewise"),
    ("n", pa.int64(), "rows, or entries, that it is over"),
    ("value", pa.float64(), "the score; null where it is not defined, as an AUROC of zeros alone"),
    nullable=("horizon", "threshold", "row", "col", "value"),
)

TABLES: tuple[Table, ...] = (steps(), PATTERNS, EPISODES, AXES, RUNS)
# What was made of the rows, by others than ingest: whoever reads a dataset without them misses nothing of it
RESULTS: tuple[Table, ...] = (LEARNING_RUNS, LEARNING_SCORES)
# What the rows of a finished run add up to; a run without it is counted from its rows
DERIVED: tuple[Table, ...] = (PARTIALS,)
ALL_TABLES = TABLES + DERIVED + RESULTS


def of_version(table: str, schema: pa.Schema, version: int) -> pa.Schema:
    """Return the schema that a table had in a former version, given today's."""
    added = {name for since, tables in ADDED.items() if since > version for name in tables.get(table, ())}
    return pa.schema([column for column in schema if column.name not in added])


def pattern_words(bits: np.ndarray, entries: int) -> np.ndarray:
    """Return zero patterns as words of 32 bits, (n, words): the first entry is the lowest bit of the first word.

    A word of 64 bits could be negative, and then some engines count the bits of its absolute value.

    Args:
        bits: of one matrix, (n, bytes) of uint8: the first entry is the highest bit of the first byte.
        entries: how many the matrix has.
    """
    ones = np.zeros((len(bits), -(-entries // 32) * 32), np.uint8)
    ones[:, :entries] = np.unpackbits(bits, axis=1, count=entries)
    return np.packbits(ones, axis=1, bitorder="little").view("<u4").astype(np.int64)


def pattern_id(d_state: int, d_action: int, bits: bytes) -> int:
    """Return the id of a zero pattern: 63 bits of a hash, so that it needs no register and means the same in every run.

    Args:
        d_state, d_action: the matrices are d_state x d_state and d_state x d_action.
        bits: ``zero_state``, then ``zero_action``.
    """
    shape = repr(((d_state, d_state), (d_state, d_action))).encode()
    return int.from_bytes(hashlib.blake2b(shape + bits, digest_size=8).digest(), "big") >> 1


def trajectory_id(
    env: str, policy: str, policy_config: str, seed: int, model: str, episode: int, planned: int | None = None
) -> int:
    """Return the id of the states of an episode of Playground's: 63 bits of the SHA-256 of all that determines them.

    How its Jacobians are computed and stored plays no part: the same episode by another method has the same id.

    Args:
        env, policy, policy_config, seed, model: as in `runs`.
        episode: its number in the run.
        planned: the run's steps, where its policy's noise is another than that of the environment's own length; else
            None. Before 1.0 it was None everywhere, and datasets keep the ids that they have.
    """
    words = (env, policy, policy_config, seed, model, episode, *(() if planned is None else (f"{planned} steps",)))
    text = "\n".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
