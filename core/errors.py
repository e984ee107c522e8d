"""Errors that end a command: one class per kind of fault, each with its exit code."""


class OvernightError(Exception):
    """Something a person can act on; printed as its message, without a traceback."""

    exit_code = 1


class UsageError(OvernightError):
    """A wrong argument, configuration or directory: nothing was started."""

    exit_code = 2


class PluginError(UsageError):
    """A plugin is unknown, ambiguous, broken or built for another contract."""


class StudyStopped(OvernightError):
    """The study could not go on, but everything recorded is safe and `resume` continues."""

    exit_code = 3


class Unreachable(OvernightError):
    """A server cannot be reached or is out of order; the same command may be given again later."""

    exit_code = 3


class StudyBusy(OvernightError):
    """Another controller is running this study."""

    exit_code = 4


class JournalError(StudyStopped):
    """The journal cannot be read or written."""


class NothingCompleted(OvernightError):
    """The study ended, but no trial of it completed."""

    exit_code = 5


EXIT_CODES: dict[int, str] = {
    0: "the study finished (or the command did what it was asked)",
    1: "an unexpected error: please report it, the study can be resumed",
    2: "usage: a wrong argument, configuration, plugin or directory; nothing was started",
    3: "the study stopped but can be resumed (disk full, executor or policy out of order); or a server cannot be "
    "reached, try again",
    4: "another controller is running this study",
    5: "the study finished, but no trial completed",
    130: "interrupted by Ctrl-C (SIGINT); can be resumed",
    143: "terminated (SIGTERM); can be resumed",
}
