"""Placing: which host a job goes to."""

import time
from collections.abc import Collection, Iterable, Mapping

from core import Job, OutOfStock, Resources, SetupError
from overnight_executor_ssh.background import spawn
from overnight_executor_ssh.host import Host
from overnight_executor_ssh.records import Records
from overnight_jobs.far_side import FarError, FarGone


def learn(hosts: Iterable[Host], newer_than_s: float, within_s: float) -> None:
    """Ask hosts at once what they have; those that do not answer in time are known by their trouble.
    One that is in trouble already is asked, and not waited for."""
    asked = [(host, host.problem(), spawn(host.learn, newer_than_s)) for host in hosts]
    end = time.monotonic() + within_s
    for host, problem, future in asked:
        try:
            future.result(0.0 if problem else max(0.0, end - time.monotonic()))
        except TimeoutError:
            host.trouble = host.trouble or f"{host.name} has not answered for {within_s:.0f} s"
        except (FarGone, FarError):
            continue  # its `trouble` says it


def usable(host: Host) -> str:
    """Why no job can go to a host just now, "" = one can."""
    known = host.environment.known
    if (problem := host.problem()) or host.facts is None:
        return problem or f"{host.name} has not answered yet"
    return f"{known.said}; {known.todo}" if known is not None and known.state == "failed" else ""


def mendable(hosts: Iterable[Host]) -> str:
    """What a person has to do, where nothing else can help any of the hosts; else ""."""
    said = []
    for host in hosts:
        known = host.environment.known
        failed = f"{known.said}\n{known.todo}" if known is not None and known.state == "failed" else ""
        if host.refused is None and not failed:
            return ""
        said.append(failed or str(host.refused))
    return "\n".join(said)


def free(host: Host, request: Resources, records: Records) -> str:
    """Why a job has no place on a host beside those of ours that are there, "" = it has one."""
    there = [record for record in records.all() if record.host == host.name and record.takes_a_place]
    if len(there) >= host.slots:
        return f"{host.name}: its {host.slots} places are taken"
    left = len(host.gpu_ids) - sum(record.gpus for record in there)
    waiting = sum(record.gpus for record in there if not record.started)
    if host.settings.gpus == "auto":  # others may have taken some, in studies of their own
        left = min(left, int((host.facts or {}).get("free_gpus", left)) - waiting)
    if request.gpus > left:
        return f"{host.name}: {max(0, left)} GPUs are free, {request.gpus} are needed"
    return ""


def choose(job: Job, hosts: Mapping[str, Host], records: Records, but: Collection[str] = ()) -> Host:
    """The host that a job goes to: one that is ready before one that is being set up, an emptier
    one before a fuller one. Raises OutOfStock; SetupError where only a person can help."""
    found: list[tuple[tuple[bool, float], Host]] = []
    why = []
    for host in hosts.values():
        if host.name in but:
            continue
        problem = usable(host)
        if not problem and not host.fits(job.resources):
            problem = f"{host.name} is too small for the job"
        if not problem and job.hardware not in (None, host.hardware(job.resources.gpus)):
            problem = f"{host.name} is no {job.hardware}"
        problem = problem or free(host, job.resources, records)
        if problem:
            why.append(problem.splitlines()[0])
            continue
        known = host.environment.known
        taken = sum(record.host == host.name and record.takes_a_place for record in records.all())
        found.append(((known is None or known.state != "ready", taken / host.slots), host))
    if found:
        return min(found, key=lambda each: each[0])[1]
    if not but and (todo := mendable(hosts.values())):
        raise SetupError(todo)
    raise OutOfStock(f"no host has a place for {job.token}: {'; '.join(why) or 'there is no other host'}")
