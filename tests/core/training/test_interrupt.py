"""Signals wait for the end of a step."""

from __future__ import annotations

import signal
import threading

import pytest

from mixvel_core.training.world import uninterrupted


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    before = signal.getsignal(signal.SIGINT)
    reached = False
    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012  # the block is what is tested
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_does_not_wait() -> None:
    reached = 0
    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012  # the block is what is tested
        signal.raise_signal(signal.SIGINT)
        reached = 1
        signal.raise_signal(signal.SIGINT)
        reached = 2
    assert reached == 1


def test_a_handler_of_the_program_answers_sigterm_afterwards() -> None:
    answers: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: answers.append("answered"))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            assert answers == []
        assert answers == ["answered"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), uninterrupted():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_are_let_alone() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
