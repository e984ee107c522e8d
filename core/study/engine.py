"""The engine: the study loop, from ask to record; resume is the same loop on a replayed journal."""

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from core.budget.ledger import Ledger
from core.contracts import BASELINE, Caps, Handle, InvalidParams, Observation, Offer, Proposal
from core.decision.judge import decide
from core.errors import OvernightError, StudyStopped
from core.guard.live import Doomed, LiveGuard
from core.journal import events as ev
from core.journal.fold import JobRecord, TrialRecord
from core.study import afford, asking, bills, certifying, effects, ending, leftovers, partial, purse, stages, stopping
from core.study.capacity import Capacity, changed
from core.study.failures import retriable
from core.study.interrupt import Interrupt, Interrupted
from core.study.jobs import CheckpointGone, build_job, token
from core.study.layout import Layout
from core.study.notifier import Notifier, drain
from core.study.outcomes import conclude, given_up, unaffordable, without_start
from core.study.parts import Parts
from core.study.patience import Patience, persist
from core.study.recorder import Recorder
from core.study.retention import Retention
from core.study.watch import JobWatch, Look, judge, look, read, verdict

T = TypeVar("T")


@dataclass
class _Pending:
    """Work in another thread and what to do with its answer."""

    future: Future[Any]
    then: Callable[[Any], None]


class Engine:
    """Runs one study to its end.

    Only the thread that calls `run` touches the journal. Executor calls run in a small pool,
    policy calls in a thread of their own; no lock is held over any call.
    """

    def __init__(
        self,
        parts: Parts,
        recorder: Recorder,
        layout: Layout,
        notifier: Notifier,
        interrupt: Interrupt,
        *,
        resumed: bool,
    ) -> None:
        self._parts = parts
        self._recorder = recorder
        self._fold = recorder.fold
        self._layout = layout
        self._notifier = notifier
        self._interrupt = interrupt
        self._resumed = resumed
        self._pool = ThreadPoolExecutor(max(4, min(32, parts.caps.slots + 2)), thread_name_prefix="executor")
        self._policy_thread = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._pending: dict[str, _Pending] = {}
        self._watches: dict[str, JobWatch] = {}
        self._patience = Patience(stock_out_s=3600 * parts.settings.stock_out_hours)
        self._capacity = Capacity(parts.caps)
        self._retention = Retention(recorder.fold, layout, parts.settings.keep_checkpoints)
        self._bills = bills.Bills()
        self._purse = purse.PolicyPurse()
        self._adopt = {job.token for job in stages.running_jobs(self._fold)} if resumed else set[str]()
        self._told_policy = self._asked_for = 0
        self._ended_before, self._nothing_at = len(self._fold.ended), -1
        self._next_poll = 0.0
        self._closing: str | None = None
        self._fatal: OvernightError | None = None

    def run(self) -> str:
        """Work until the study is finished; returns why it ended.

        Raises Interrupted after a signal, StudyStopped (or a UsageError from preparation) when
        it cannot go on; in every case running jobs are stopped and what could be recorded is.
        """
        try:
            leftovers.clear(self._parts, self._recorder)
            while (reason := self._tick()) is None:
                self._pause()
            self._settle_pending()
            leftovers.clear(self._parts, self._recorder)
        except (Interrupted, OvernightError) as stop:
            self._stop_everything()
            stopping.say_interrupted(self._recorder, stop)
            raise
        except BaseException:
            self._stop_everything()
            raise
        else:
            self._recorder.record(ev.StudyFinished(reason))
            return reason
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._policy_thread.shutdown(wait=False, cancel_futures=True)

    # One round of the loop.

    def _tick(self) -> str | None:
        self._interrupt.check()
        self._recorder.journal.beat()
        self._purse.serve(self._recorder, self._parts, self._ledger)
        self._collect_finished()
        self._note_trackers()
        if self._fatal is not None:
            raise self._fatal
        stages.stop_if_hopeless(self._fold, self._ended_before, self._parts.settings.max_failures)
        self._decide()
        if BASELINE not in self._fold.records:
            self._recorder.record(ev.TrialProposed(BASELINE, Proposal(rationale="the untouched starting model")))
        for record in stages.active(self._fold, self._parts.caps.slots):
            self._advance(record)
        self._poll()
        if question := self._capacity.question(self._parts.executor):
            self._start("caps", question, self._resize)
        self._ask()
        return self._end()

    def _pause(self) -> None:
        timeout = max(0.0, min(self._parts.settings.poll_s, self._next_poll - time.monotonic()))
        futures = [pending.future for pending in self._pending.values()]
        if futures:
            wait(futures, timeout=max(timeout, 0.01), return_when=FIRST_COMPLETED)
        else:
            time.sleep(max(timeout, 0.005))

    def _collect_finished(self) -> None:
        for key in [key for key, pending in self._pending.items() if pending.future.done()]:
            pending = self._pending.pop(key)
            pending.then(pending.future.result())

    def _start(self, key: str, action: Callable[[], T], then: Callable[[T], None], *, policy: bool = False) -> None:
        pool = self._policy_thread if policy else self._pool
        self._pending[key] = _Pending(pool.submit(action), then)

    def _resize(self, caps: Caps | None) -> None:
        if caps is not None:
            said = changed(self._parts.caps, caps)
            self._parts = replace(self._parts, caps=caps)
            self._recorder.record(*([ev.Noticed(said)] if said else []))

    # Trials.

    def _advance(self, record: TrialRecord) -> None:
        phase = stages.next_phase(self._fold, record)
        if phase is None:
            return
        job = record.job(phase)
        if job is None or job.ended is not None:
            job = self._intend(record, phase, 1 if job is None else job.attempt + 1)
        if job is not None and job.handle is None and job.token not in self._pending:
            self._submit(record, job)

    def _intend(self, record: TrialRecord, phase: ev.Phase, attempt: int) -> JobRecord | None:
        number = record.trial.number
        key = token(self._fold.creation.study_id, number, phase, attempt)
        grant = afford.grant(self._fold, self._parts, self._ledger(), number, phase)
        if grant.refusal is not None:
            if not grant.wait:
                self._cannot_pay(JobRecord(key, number, phase, attempt, grant.seconds), grant.refusal)
            return None
        if grant.notice is not None:
            self._recorder.record(ev.Noticed(grant.notice, number))
        worst = afford.worst(self._parts, grant.seconds)
        self._recorder.record(
            ev.BudgetReserved(key, number, worst.seconds, worst.usd, worst.gpu_hours),
            ev.JobIntended(key, number, phase, attempt, grant.seconds),
        )
        return record.job(phase)

    def _cannot_pay(self, job: JobRecord, why: str) -> None:
        events, error = unaffordable(job, why)
        self._recorder.record(*events)
        self._tell_policy()
        if error is not None:
            raise error

    def _submit(self, record: TrialRecord, job: JobRecord) -> None:
        price = afford.reserved_price(self._fold, self._parts, job.token)
        try:
            order = build_job(self._parts, self._layout, self._fold, record.trial, job, usd_per_hour=price)
        except CheckpointGone as gone:
            self._recorder.record(*without_start(job, str(gone), gone.kind))
            self._tell_policy()
            return
        except OSError as error:
            raise StudyStopped(f"cannot write the job of trial {job.trial}: {error}") from error
        executor, adopted, patience = self._parts.executor, job.token in self._adopt, self._patience
        self._start(
            job.token,
            lambda: effects.submit(executor, order, patience, search_first=adopted, usd_per_hour=price),
            lambda found: self._submitted(job, found),
        )

    def _submitted(self, job: JobRecord, found: Handle | Offer) -> None:
        if isinstance(found, Handle):
            said = [ev.Noticed(found.data["notice"], job.trial)] if "notice" in found.data else []
            self._recorder.record(ev.JobSubmitted(job.token, job.trial, found), *said)
            return
        # Nothing was started: it costs more now than is reserved for it.
        text = f"a machine costs ${found.usd_per_hour:g} an hour now, it was ${self._parts.offer.usd_per_hour:g}"
        self._parts = replace(self._parts, offer=found)
        self._recorder.record(ev.Noticed(text))
        worst = afford.worst(self._parts, job.deadline_s)
        if why := afford.more(worst, self._ledger(), self._fold.reserved[job.token]):
            self._recorder.record(*given_up(job))
            self._cannot_pay(job, f"{text}, and {why}")
        else:
            self._recorder.record(ev.BudgetReserved(job.token, job.trial, worst.seconds, worst.usd, worst.gpu_hours))

    def _poll(self) -> None:
        now = time.monotonic()
        if "poll" in self._pending or now < self._next_poll:
            return
        jobs = [job for job in stages.running_jobs(self._fold) if job.handle and job.token not in self._pending]
        for job in jobs:
            if job.token not in self._watches:
                self._watches[job.token] = JobWatch(job, LiveGuard(self._parts.settings.guard))
        self._next_poll = now + self._parts.settings.poll_s
        if jobs:
            handles = [(job.handle, self._watches[job.token].offset) for job in jobs if job.handle]
            executor, patience = self._parts.executor, self._patience
            self._start(
                "poll", lambda: persist(lambda: look(executor, handles), "could not poll", patience), self._looked
            )

    def _looked(self, found: Look) -> None:
        for key, observation in found.observations.items():
            watch = self._watches[key]
            if watch.job.ended is not None or key in self._pending:
                continue
            steps, doubts = read(watch, found)
            self._recorder.record(*(ev.Noticed(text, watch.job.trial) for text in doubts))
            for step in steps:
                self._recorder.progress(watch.job.trial, watch.job.phase, step.step, step.total, step.metrics)
            doomed = judge(watch, steps) if key in found.chunks else None
            over = watch.job.phase == "train" and self._ledger().left().seconds == 0  # it would begin too late
            queue_s = 0.0 if over else 3600 * self._parts.settings.queue_hours
            ended = verdict(watch, observation, found.at, self._parts.overhead_s, queue_s)
            if ended is not None or doomed is not None:
                self._end_job(watch.job, ended or observation, doomed, found.at)

    def _end_job(self, job: JobRecord, seen: Observation, doomed: Doomed | None, at: float) -> None:
        handle, executor, layout, grace = job.handle, self._parts.executor, self._layout, self._parts.settings.grace_s
        assert handle is not None
        patience = self._patience

        def fetch() -> effects.Collected:
            if doomed is None and retriable(seen):
                saved = job.phase == "train" and partial.keep(executor, handle, layout, job.trial)
                return effects.Collected(partial=saved)  # its machine is gone, and with it what it did not save
            found = effects.collect(executor, handle, layout, job.trial, job.phase, patience)
            if doomed is not None:
                effects.cancel(executor, handle, grace, patience)
            return found

        self._start(job.token, fetch, lambda found: self._ended(job, seen, found, doomed, at))

    def _ended(
        self, job: JobRecord, seen: Observation, found: effects.Collected, doomed: Doomed | None, at: float
    ) -> None:
        record = self._fold.records[job.trial]
        price, retries, share = self._parts.price, self._parts.settings.retries, certifying.share(self._fold)
        events, items, self._fatal = conclude(record, job, seen, found, price, retries, doomed, share)
        self._bills.hold(self._fold.reserved.get(job.token), events, at)
        self._recorder.record(*events, items=items)
        self._watches.pop(job.token, None)
        self._tell_policy()
        assert job.handle is not None
        grace = self._parts.settings.grace_s
        clean = functools.partial(effects.clean, self._parts.executor, job.handle, grace, self._patience)
        self._start(f"clean {job.token}", clean, lambda usd: self._recorder.record(*self._bills.close(job.token, usd)))

    def _decide(self) -> None:
        for record in stages.undecided(self._fold):
            events = decide(self._parts.decision, self._fold, self._recorder.journal, record.trial)
            if not events:
                return
            for event in events:
                if isinstance(event, ev.IncumbentChanged):
                    # The link only repeats what the journal is about to say, and resume remakes it:
                    # it goes first so that trackers told of the incumbent find its checkpoint.
                    self._layout.point_best_at(event.trial)
            self._recorder.record(*events)
            self._tell_policy()

    # Asking.

    def _tell_policy(self) -> None:
        for number in self._fold.ended[self._told_policy :]:
            self._told_policy += 1
            if number != BASELINE:
                policy, trial = self._parts.policy, self._fold.records[number].trial
                tell = functools.partial(asking.tell, policy, str(self._parts.settings.policy["name"]), trial)
                self._start(f"tell {number}", tell, lambda _: None, policy=True)

    def _ask(self) -> None:
        if self._closing is not None or self._fatal is not None:
            return
        if "ask" in self._pending:
            self._propose(asking.retests_beside(self._fold, self._parts, self._ledger(), self._asked_for))
            return
        if stages.next_phase(self._fold, self._fold.records[BASELINE]) == "prepare":
            return
        free, now = self._parts.caps.slots - len(self._fold.open_records), self._ledger()
        if (begun := ending.begun(self._fold, self._parts, now)) is not None:
            self._closing = begun
            return
        n, self._closing = afford.admission(self._fold, self._parts, now, free, certifying.held(self._fold))
        if self._closing is not None or n <= 0:
            return
        self._tell_policy()
        left = certifying.for_search(now.left(), self._fold)
        if due := stages.retests_due(self._fold)[:n]:
            self._propose(due)
            return
        if self._nothing_at == len(self._fold.ended):
            return  # it had nothing to propose, and has learnt nothing since
        view = replace(
            self._fold.view(left, self._parts.space),
            purse=self._purse,
            program=self._parts.program,
            directory=self._layout.directory,
        )
        policy, name = self._parts.policy, str(self._parts.settings.policy["name"])
        self._asked_for = n
        self._start("ask", lambda: asking.ask(policy, name, view, n), self._asked, policy=True)

    def _asked(self, answer: asking.Answer) -> None:
        self._recorder.record(*(ev.Noticed(text) for text in answer.notices))
        if not answer.proposals:
            self._nothing_at = len(self._fold.ended)
            if answer.idle and not stages.retests_due(self._fold):
                self._closing = "the policy has nothing left to try"
        self._propose(answer.proposals)

    def _propose(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            try:
                params = self._parts.space.check(proposal.params)
            except InvalidParams as error:
                name = self._parts.settings.policy["name"]
                raise StudyStopped(f"policy {name!r} proposed what is not in the search space: {error}") from error
            number = max(self._fold.records) + 1
            self._recorder.record(ev.TrialProposed(number, replace(proposal, params=params)))

    def _ledger(self) -> Ledger:
        elapsed_s, asking_now = self._recorder.journal.elapsed_s, "ask" in self._pending
        return afford.ledger(self._fold, elapsed_s, self._bills.held(), asking=asking_now)

    # The end.

    def _end(self) -> str | None:
        if self._closing is None or self._pending.keys() - {"poll", "caps"} or stages.active(self._fold, 1):
            return None
        events, over = ending.step(self._fold, self._parts, self._ledger(), self._recorder.journal, self._closing)
        self._recorder.record(*events)
        return self._closing if over else None

    def _note_trackers(self) -> None:
        for text in drain(self._notifier.problems) + drain(self._patience.troubles):
            self._recorder.record(ev.Noticed(text))
        for number in drain(self._notifier.told):
            self._recorder.record(ev.TrackersTold(number))
        self._retention.prune()

    def _settle_pending(self) -> None:
        while self._pending:
            wait([pending.future for pending in self._pending.values()], timeout=0.1, return_when=FIRST_COMPLETED)
            self._purse.serve(self._recorder, self._parts, self._ledger)
            self._collect_finished()

    def _stop_everything(self) -> None:
        """Cancel running jobs and record their end, as far as journal and executor still allow."""
        grace = self._parts.settings.grace_s
        self._patience.hurry()
        self._purse.close()
        wait([p.future for p in self._pending.values()], timeout=grace + 5)
        for key, pending in list(self._pending.items()):
            if key in {job.token for job in stages.running_jobs(self._fold)} and pending.future.done():
                self._keep_answer(pending)
        stopping.stop(self._parts, self._recorder, self._pool, self._patience, self._watches)

    def _keep_answer(self, pending: _Pending) -> None:
        try:
            pending.then(pending.future.result())
        except OvernightError as error:
            # The study is stopping already, for a reason that is being reported; this one joins it.
            self._fatal = self._fatal or error
