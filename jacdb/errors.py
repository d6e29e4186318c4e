"""The two ways in which jacdb says no: one line each, with the wrong value and the remedy."""


class JacdbError(Exception):
    """What a person is told in one line. ``exit_code`` is the command line's."""

    exit_code = 1


class UsageError(JacdbError):
    """The request can't be right: an unknown name, an impossible number, a folder that is none."""

    exit_code = 2


class FailureError(JacdbError):
    """The request was right and could not be carried out: a full disk, a lost network, a run that stalls."""

    exit_code = 1
