"""The global graph that classical causal discovery finds in trajectories, by tigramite's FullCI, PCMCI and PCMCI+.

A variable is a number of the state or of the action. Only links from states and actions to the next step's states are
asked for: within a step nothing acts on a state, and nothing but the policy on an action. tigramite is imported when
it is needed.

Sources: Runge, Nowack, Kretschmer, Flaxman and Sejdinovic, "Detecting and quantifying causal associations in large
nonlinear time series datasets" (2019), on PCMCI; Runge, "Discovering contemporaneous and lagged causal relations in
autocorrelated nonlinear time series datasets" (2020), on PCMCI+.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from jacdb.errors import UsageError, suggestion
from jacdb.learning.graph_evaluation import GraphOf, constant
from jacdb.learning.problem import LearningProblem

METHODS = {
    "fullci": "strength of a link given all other states and actions, by tigramite's FullCI",
    "pcmci": "strength of a link given both ends' parents, by tigramite's PCMCI",
    "pcmci_plus": "strength of a link given both ends' parents, by tigramite's PCMCI+",
}
TESTS = {"parcorr": "parcorr:ParCorr", "robust_parcorr": "robust_parcorr:RobustParCorr"}
NEEDED = ("tigramite", "joblib")  # tigramite imports joblib, and does not bring it
SHORTEST = 20  # steps of a stretch: tigramite leaves out the first two of each


@dataclass(frozen=True)
class DiscoverySettings:
    """Settings of a method.

    Attributes:
        rows: how many rows of the training part it gets at most. 4,000 take a minute or less in all environments.
        alpha: level of significance, at which links are kept as conditions and called on.
        test: of conditional independence, one of TESTS.
    """

    rows: int = 4000
    alpha: float = 0.01
    test: str = "parcorr"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return settings that were given by name.

        Raises:
            UsageError: there is no such setting, or a value is none that it can have.
        """
        for name in settings:
            if name not in cls.__dataclass_fields__:
                raise UsageError(f"--set {name}: no such setting; {suggestion(name, cls.__dataclass_fields__)}")
        made = cls(**settings)
        if type(made.rows) is not int or made.rows < SHORTEST:
            raise UsageError(f"--set rows={made.rows}: give a number of rows, {SHORTEST} or more")
        if type(made.alpha) not in (int, float) or not 0 < made.alpha < 1:
            raise UsageError(f"--set alpha={made.alpha}: give a level of significance between 0 and 1, such as 0.01")
        if made.test not in TESTS:
            raise UsageError(f"--set test={made.test}: no such test; {suggestion(str(made.test), TESTS)}")
        return made


@dataclass(frozen=True)
class Links:
    """The links to the next state from each state and action, as a method finds them.

    Attributes:
        strength: the test's statistic, signed: for ParCorr a partial correlation. 0 where it is not defined, in a
            column that never changes. (n_tangent, n_tangent + n_action).
        p_value: that the link is none, likewise; 1 where it is not defined.
    """

    strength: np.ndarray
    p_value: np.ndarray


def missing() -> str | None:
    """Return the first package that is needed and not installed; None if all are."""
    return next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)


def require() -> None:
    """Refuse to go on if a package that is needed is not installed.

    Raises:
        UsageError: one is missing.
    """
    if name := missing():
        raise UsageError(f"{', '.join(METHODS)} need tigramite, and {name} is missing: pip install 'jacdb[causal]'")


def global_graph(problem: LearningProblem, method: str, settings: DiscoverySettings) -> GraphOf:
    """Return the graph that is the same in each row: the absolute strength of each link in the training part.

    That is what the methods call on: at one number of rows, the more strength the less the p-value. Strengths rank
    where p-values do not, for of thousands of rows many p-values are 0 in float64. A link that was given up on the
    way has the strength of the test at which it was.

    Args:
        problem: the rows.
        method: one of METHODS.
        settings: its settings.

    Raises:
        UsageError: no trajectory has enough consecutive steps.
    """
    found = discover(trajectories(problem, settings.rows), problem.shape[0], method, settings)
    return constant(np.abs(found.strength))


def trajectories(problem: LearningProblem, most_rows: int) -> list[np.ndarray]:
    """Return stretches of consecutive steps of the training part, (steps, n_tangent + n_action) each.

    Columns are those of the Jacobian: the tangent from the mean state to the state, and the action, in deviations.
    Of more rows than ``most_rows``, each trajectory gives an equal share of its steps, and the later ones of them the
    further down the list it is: so all phases of an episode are there.

    Raises:
        UsageError: no trajectory has enough consecutive steps.
    """
    rows, coordinates = problem.parts["train"], problem.coordinates
    state, _ = coordinates.restored(rows.state.astype(np.float64), rows.action.astype(np.float64))
    tangent = coordinates.space.difference(coordinates.reference, state) / coordinates.normalization.tangent
    columns = np.concatenate([tangent, rows.action.astype(np.float64)], axis=1)
    whole = [one for one in np.split(columns, np.flatnonzero(~rows.follows)[1:]) if len(one) >= SHORTEST]
    if not whole:
        raise UsageError(f"{problem.env}: no training episode has {SHORTEST} consecutive steps: ingest longer ones")
    total = sum(map(len, whole))
    if total <= most_rows:
        return whole
    if len(whole) > (most := most_rows // SHORTEST):  # of too many, evenly many
        whole = [whole[int(at)] for at in np.linspace(0, len(whole) - 1, most)]
        total = sum(map(len, whole))
    taken = []
    for number, one in enumerate(whole):
        length = min(len(one), max(SHORTEST, len(one) * most_rows // total))
        first = (len(one) - length) * number // max(len(whole) - 1, 1)
        taken.append(one[first : first + length])
    return taken


def discover(series: Sequence[np.ndarray], n_targets: int, method: str, settings: DiscoverySettings) -> Links:
    """Return the links that a method finds in series, from each variable to the next step's first ones.

    Args:
        series: consecutive steps, (steps, variables) each.
        n_targets: how many variables are states; the others are actions.
        method: one of METHODS.
        settings: its settings.
    """
    from tigramite.data_processing import DataFrame
    from tigramite.pcmci import PCMCI

    module, _, name = TESTS[settings.test].partition(":")
    test = getattr(importlib.import_module(f"tigramite.independence_tests.{module}"), name)
    n = series[0].shape[1]
    asked = {j: {(i, -1): "-?>" for i in range(n)} if j < n_targets else {} for j in range(n)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that never change, and of a single trajectory
        algorithm = PCMCI(DataFrame(dict(enumerate(series)), analysis_mode="multiple"), test())
        run = {"fullci": _fullci, "pcmci": _pcmci, "pcmci_plus": _pcmci_plus}[method]
        found = run(algorithm, {"link_assumptions": asked, "tau_min": 1, "tau_max": 1}, settings.alpha)
    # tigramite has [from, to, lag]
    strength, p_value = (found[name][:, :n_targets, 1].T for name in ("val_matrix", "p_matrix"))
    defined = np.isfinite(strength) & np.isfinite(p_value)
    return Links(np.where(defined, strength, 0.0), np.where(defined, p_value, 1.0))


def described(settings: DiscoverySettings) -> dict[str, Any]:
    """Return what determines the links, besides rows and method: the settings, and tigramite's version."""
    from importlib.metadata import version

    return {"settings": asdict(settings), "tigramite": version("tigramite")}


def _fullci(algorithm: Any, asked: dict[str, Any], alpha: float) -> Any:
    return algorithm.run_fullci(**asked, alpha_level=alpha)


def _pcmci(algorithm: Any, asked: dict[str, Any], alpha: float) -> Any:
    return algorithm.run_pcmci(**asked, pc_alpha=alpha, alpha_level=alpha)


def _pcmci_plus(algorithm: Any, asked: dict[str, Any], alpha: float) -> Any:
    return algorithm.run_pcmciplus(**asked, pc_alpha=alpha)
