"""How good a policy is, by the best that is known of its environment."""

# What the best of TD-MPC2, TD-MPC, DreamerV3 and SAC returns after four million steps, mean of two or three seeds:
# github.com/nicklashansen/tdmpc2 (commit e9f5932, folder `results`), of the tasks that Playground ports.
PUBLISHED = {
    "AcrobotSwingup": 663.0, "BallInCup": 984.0, "CartpoleBalance": 999.0, "CartpoleBalanceSparse": 1000.0,
    "CartpoleSwingup": 883.0, "CartpoleSwingupSparse": 850.0, "CheetahRun": 896.0, "FingerSpin": 990.0,
    "FingerTurnEasy": 982.0, "FingerTurnHard": 977.0, "FishSwim": 803.0, "HopperHop": 449.0, "HopperStand": 955.0,
    "HumanoidRun": 603.0, "HumanoidStand": 906.0, "HumanoidWalk": 900.0, "PendulumSwingup": 838.0, "ReacherEasy": 987.0,
    "ReacherHard": 982.0, "WalkerRun": 877.0, "WalkerStand": 993.0, "WalkerWalk": 981.0,
}  # fmt: skip
BOUND = {"dm_control": 1000.0}  # what an episode can give; no bound is known of the other suites
EXPERT = 0.8  # of the best known: below, a policy is partial


def best_known(env: str, suite: str) -> float | None:
    """Return the best known return of an environment: what was published, else what an episode can give.

    It is None if neither is known.
    """
    return PUBLISHED.get(env, BOUND.get(suite))


def rate(env: str, suite: str, mean_return: float) -> str:
    """Return `expert`, `partial` or, where no best is known, `unrated`."""
    best = best_known(env, suite)
    if best is None:
        return "unrated"
    return "expert" if mean_return >= EXPERT * best else "partial"
