# SPDX-License-Identifier: Apache-2.0
"""Many readers or one writer: what the C objects that change demand of their callers, who may come
from several threads since calls release the GIL."""
from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator, NoReturn


class SharedLock:
    """A writer that waits goes before readers that come after it. Not for nesting: a thread that
    holds it must not ask for it again."""

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._readers = 0
        self._waiting_writers = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting_writers == 0)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._waiting_writers += 1
            try:
                self._condition.wait_for(lambda: self._readers == 0)
            finally:
                self._waiting_writers -= 1
                self._condition.notify_all()  # they wake when this block is left
            yield


class Uncopyable:
    """Base of classes that own a C object which changes: a copy would change with it."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be copied or pickled: what it holds is "
                        "memory of libquash")
