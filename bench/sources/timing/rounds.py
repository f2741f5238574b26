"""Timing many calls in interleaved rounds, so that other activity of the machine affects all of them alike."""

from __future__ import annotations

import gc
import random
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch

from ..settings import ClockSettings
from .stopwatch import Block, Stopwatch, Timed, Timings
from .telemetry import Telemetry

Key = TypeVar("Key", bound=Hashable)


def time_group(
    timed: Mapping[Key, Timed],
    device: torch.device,
    settings: ClockSettings,
    seed: int,
    tick: Callable[[float], None] = lambda fraction: None,
    earlier: Mapping[Key, Sequence[Block]] | None = None,
    made: Callable[[Key, Block], None] = lambda key, block: None,
    around: Callable[[Key], AbstractContextManager[object]] = lambda key: nullcontext(),
) -> dict[Key, Timings | Exception]:
    """Time every key in interleaved rounds, in random order within a round.

    An exception of one key is its result and does not affect the others. `tick` receives the fraction of rounds that is
    done, `made` every new block. `earlier`: blocks of a previous process, which count as done. All code of a key runs
    inside the context manager `around(key)`.
    """
    results: dict[Key, Timings | Exception] = {}
    watches: dict[Key, Stopwatch] = {}
    telemetry = Telemetry(device)
    for key, each in timed.items():
        tick(0.0)
        try:
            with around(key):
                watches[key] = Stopwatch(each, device, settings, telemetry, (earlier or {}).get(key, ()))
        except Exception as error:
            results[key] = without_tensors(error)
    order, running, done = random.Random(seed), [key for key in watches if not watches[key].stop_reason()], 0
    with without_collection():
        while running:
            order.shuffle(running)
            for place, key in enumerate(running, 1):
                try:
                    with around(key):
                        block = watches[key].block()
                except Exception as error:
                    results[key] = without_tensors(error)
                else:
                    made(key, block)
                tick(min(1.0, (done + place / len(running)) / settings.rounds))
            gc.collect()
            running = [key for key in running if key not in results and not watches[key].stop_reason()]
            done += 1
    for key, watch in watches.items():
        if key not in results:
            with around(key):
                results[key] = watch.timings()
    return results


def without_tensors(error: Exception) -> Exception:
    """The error with the variables of its frames released: after an out-of-memory error, the memory is free again."""
    traceback.clear_frames(error.__traceback__)
    return error


@contextmanager
def without_collection() -> Iterator[None]:
    """No automatic garbage collection inside the block; explicit ones only visit objects created inside it.

    What the caller froze stays frozen: thawing it would make every later collection visit it.
    """
    gc.collect()
    frozen, enabled = gc.get_freeze_count(), gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        if not frozen:
            gc.unfreeze()
