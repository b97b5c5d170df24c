"""Processes of tests that fork from one that has imported, once, what they need.

To import Lightning costs five seconds of a core, a reader of films one. That process starts at the
first need, with the modules of all tests that are collected, and holds nothing of the tests.
"""

import multiprocessing

FORK_SERVER = multiprocessing.get_context("forkserver")
_preloaded: list[str] = []


def preload(*modules: str) -> None:
    """Modules that the first process imports; called while tests are collected."""
    _preloaded.extend(name for name in modules if name not in _preloaded)
    FORK_SERVER.set_forkserver_preload(_preloaded)
