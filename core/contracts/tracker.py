"""A tracker: shows a study elsewhere (W&B, a chat, a file); never the source of truth."""


class Tracker:
    """Base class of trackers: override the lifecycle hooks you need, marked with `@hookimpl`.

    Constructed as `tracker_class(config)` with its validated `Config` and registered for the
    study's life. All hooks are called from one thread, in order, not the study's own: a slow
    tracker delays no trial, one that raises is reported once and never stops a study. After a
    resume a new instance gets `study_started` with `study.resumed` and all trials so far; a
    hook may then be told of a trial a second time and must not show it twice.

    The hooks (see core/hookspecs.py): study_started, trial_proposed, trial_reported,
    trial_finished, incumbent_changed, study_finished.
    """

    def notes(self) -> list[str]:
        """Lines for the person at the terminal, asked for after `study_finished`: where the
        data is, how to sync it. One fact a line."""
        return []
