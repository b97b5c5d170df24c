"""Jobs in processes: every result, and a sentence or an exception where a process dies."""

import time

import pytest

from worker_pool import InChild, WorkerDiedError, in_processes

# `eval` is the one function that a spawned process knows and that can do anything.
DIE = "__import__('os')._exit(1)"
PROCESS = "__import__('os').getpid()"


def test_one_worker_or_one_job_stays_in_this_process():
    here = str(dict(in_processes(eval, [PROCESS], 1))[PROCESS])
    assert [str(pid) for _, pid in in_processes(eval, [PROCESS], 3)] == [here]
    assert str(next(in_processes(eval, [PROCESS], 1, isolated=True))[1]) != here


def test_several_workers_do_every_job_and_an_exception_comes_back():
    jobs = [f"{number} * {number}" for number in range(9)]
    assert sorted(in_processes(eval, jobs, 2)) == [(job, eval(job)) for job in jobs]
    with pytest.raises(ZeroDivisionError):
        list(in_processes(eval, ["1", "1 / 0"], 2))


def test_a_dead_worker_is_a_sentence_that_says_how_to_go_on():
    with pytest.raises(WorkerDiedError, match=r"--workers 4: a worker was killed.*--workers 2;"):
        list(in_processes(eval, [DIE] * 3, 4))


def test_a_child_that_dies_or_hangs_is_replaced():
    child = InChild(eval)
    first = child(PROCESS, 60)
    assert child(PROCESS, 60) == first
    with pytest.raises(WorkerDiedError):
        child(DIE, 60)
    second = child(PROCESS, 60)
    assert second != first
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        child("__import__('time').sleep(60)", 0.5)
    assert time.monotonic() - started < 30
    assert child(PROCESS, 60) not in (first, second)
    child.close()
