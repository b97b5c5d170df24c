"""Hands a study's jobs out to its workers, each as soon as the generator that it needs is done."""

import heapq
from collections.abc import Callable

from display.numbers import score
from provenance import UserError
from studies.run.attempt import JobOutcome, record_failure
from studies.run.folder import Study
from studies.run.outcome import StudyOutcome
from studies.run.progress import StudyProgress, kind_of
from studies.run.verbs import Verbs
from studies.run.workers import InlinePool, WorkerPool
from studies.specification.specification import Specification


def do_jobs(
    needs: dict[str, str | None],
    study: Study,
    load_verbs: Callable[[], Verbs],
    workers: int,
    say: Callable[[str], None],
    outcome: StudyOutcome,
) -> None:
    """Do the jobs with as many workers as asked for, and note how they went.

    Args:
        needs: Jobs, each with the generator that it waits for; None where it waits for none.
        study: The study.
        load_verbs: Gives the verbs; called in worker processes too.
        workers: Processes; 0 does the jobs in this one.
        say: Prints a line.
        outcome: Gets the names of jobs that are done, elsewhere or failed.
    """
    pool: InlinePool | WorkerPool
    if workers > 0:
        pool = WorkerPool(study, load_verbs, min(workers, len(needs)))
    else:
        pool = InlinePool(study, load_verbs)
    model_of = {cell.name: cell.model.name for cell in study.specification.cells()}
    kinds = {name: kind_of(name, model_of.get(name, "")) for name in needs}
    progress = StudyProgress(kinds, pool.num_workers, say)
    progress.learn(study.folder)
    try:
        _work_through(needs, study, pool, progress, outcome)
    finally:
        pool.close()


def _work_through(
    needs: dict[str, str | None],
    study: Study,
    pool: InlinePool | WorkerPool,
    progress: StudyProgress,
    outcome: StudyOutcome,
) -> None:
    """Hand out jobs in order, each as soon as its generator is done, until none is left."""
    names = list(needs)
    # Places in `names`, so that order is kept; going through all that wait takes jobs x jobs.
    ready = [place for place, name in enumerate(names) if needs[name] is None]  # a heap: it rises
    held: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        generator = needs[name]
        if generator is not None:
            held.setdefault(generator, []).append(place)
    running: set[str] = set()

    def finish(result: JobOutcome) -> None:
        if result.state == "failed":
            outcome.failed.append((result.name, result.message))
        elif result.state == "elsewhere":
            outcome.elsewhere.append(result.name)
        else:
            outcome.done.append(result.name)
        progress.end(result, _shown(result, study.specification))
        for place in held.pop(result.name, ()):
            if result.state == "failed":
                error = UserError(f"The generator it needs failed: see {result.name}.")
                message = record_failure(names[place], study, error)
                finish(JobOutcome(names[place], "failed", 0.0, message))
            else:
                heapq.heappush(ready, place)

    while ready or running:
        while ready and pool.idle():
            name = names[heapq.heappop(ready)]
            running.add(name)
            progress.begin(name)
            pool.submit(name)
        for result in pool.collect(1.0):
            running.discard(result.name)
            finish(result)
        progress.tick()


def _shown(result: JobOutcome, specification: Specification) -> str:
    if result.state == "failed":
        return f"FAILED, {result.message.splitlines()[0]}"
    if result.score is None:
        return result.message or "done"
    metric = specification.metric
    return f"{metric.name} {score(result.score, metric.percent)}{' %' if metric.percent else ''}"
