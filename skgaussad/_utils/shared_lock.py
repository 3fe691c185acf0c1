"""A lock that threads share, for what one of them must do alone, such as to fork."""

import contextlib
import os
import threading


class SharedLock:
    """A lock that many threads hold at once, or one alone.

    A fork waits until no other thread holds it: the libraries in use have locks of
    their own, and those held by other threads would stay locked in the child for ever.

    Parameters
    ----------
    on_first : callable, default=contextlib.ExitStack
        Called when the first thread comes; the `close` of what it returns is called
        when the last goes.
    """

    def __init__(self, on_first=contextlib.ExitStack):
        self._on_first = on_first
        self._forget_threads()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._acquire_for_fork,
                after_in_parent=self._release_after_fork,
                after_in_child=self._renew,
            )

    def _forget_threads(self):
        self._condition = threading.Condition()
        self._holders = []
        self._n_waiting = 0
        self._is_taken = self._is_for_fork = False
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def held(self, alone=False):
        """Hold the lock; a thread that wants it alone goes before those that share."""
        self._acquire(alone)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, alone):
        with self._condition:
            self._n_waiting += alone
            try:
                self._condition.wait_for(lambda: self._is_free(alone))
            finally:
                self._n_waiting -= alone
                self._condition.notify_all()
            if not self._holders:
                self._undo = self._on_first()
            self._is_taken = alone
            self._holders.append(threading.get_ident())

    def _is_free(self, alone):
        return not (self._is_taken or (self._holders if alone else self._n_waiting))

    def _release(self):
        with self._condition:
            self._holders.remove(threading.get_ident())
            self._is_taken = False
            if not self._holders:
                self._undo.close()
            self._condition.notify_all()

    def _acquire_for_fork(self):
        with self._condition:
            # Compilers, which hold it alone, may fork and wait for it.
            if self._is_taken or threading.get_ident() in self._holders:
                return
        self._acquire(alone=True)
        self._is_for_fork = True

    def _release_after_fork(self):
        if self._is_for_fork and threading.get_ident() in self._holders:
            self._is_for_fork = False
            self._release()

    def _renew(self):
        """Begin anew in a child, which does not have the other threads."""
        self._undo.close()
        self._forget_threads()
