"""The lease of a store that has no locks, in simulated time: drivers on machines whose clocks differ, requests that are
slow, and one driver at a time all the same. A seed gives one history."""

import heapq
import itertools
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import greenlet
import pytest

from tailboard.harness.errors import StoreError
from tailboard.harness.storage import lease

STARTS = 1000


class Machine:
    """A driver's machine: its clock is so many seconds off, and it may be paused, as a laptop is."""

    def __init__(self, name: str, off: float) -> None:
        self.name, self.off, self.interrupted, self.paused = name, off, False, (0.0, 0.0)
        self.main: Any = None


class World:
    """Virtual time, in which each thread of each machine is a greenlet; ``files`` is the bucket."""

    def __init__(self, seed: int, slow: float) -> None:
        self.random, self.slow = random.Random(seed), slow  # noqa: S311
        self.now, self.files = 1000.0, dict[str, bytes]()
        self._hub, self._queue, self._numbers = greenlet.getcurrent(), [], itertools.count()
        self._of: dict[Any, Machine] = {}

    @property
    def machine(self) -> Machine:
        return self._of[greenlet.getcurrent()]

    def spawn(self, machine: Machine, work: Callable[[], None], after: float = 0.0) -> Any:
        thread = greenlet.greenlet(work, parent=self._hub)
        self._of[thread] = machine
        heapq.heappush(self._queue, (self.now + after, next(self._numbers), thread))
        return thread

    def sleep(self, seconds: float) -> None:
        me, machine, until = greenlet.getcurrent(), self.machine, self.now + seconds
        begin, end = machine.paused
        until = max(until, end) if begin <= until else until
        heapq.heappush(self._queue, (until, next(self._numbers), me))
        self._hub.switch()
        if machine.interrupted and me is machine.main:
            machine.interrupted = False
            raise KeyboardInterrupt

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.now, _, thread = heapq.heappop(self._queue)
            thread.switch()

    def request(self, action: Callable[[], Any]) -> Any:
        """What the bucket answers, somewhere in the time that the request takes."""
        takes = self.random.uniform(0.02, 5.0 if self.random.random() < self.slow else 0.2)
        self.sleep(takes / 2)
        answer = action()
        self.sleep(takes / 2)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bucket:
    local, lease = False, 0

    def __init__(self, world: World) -> None:
        self._world = world

    def __str__(self) -> str:
        return "s3://bucket"

    def read(self, name: str) -> bytes:
        return self._world.request(lambda: self._world.files.get(name, FileNotFoundError(name)))

    def has(self, name: str) -> bool:
        return self._world.request(lambda: name in self._world.files)

    def write(self, name: str, data: bytes) -> None:
        self._world.request(lambda: self._world.files.update({name: data}))

    def create(self, name: str, data: bytes) -> None:
        files = self._world.files
        self._world.request(lambda: FileExistsError(name) if name in files else files.update({name: data}))


@pytest.fixture
def world(monkeypatch):
    """``world(seed, slow)`` makes the world in which the lease lives from now on."""

    def made(seed: int, slow: float) -> World:
        world = World(seed, slow)

        class Event:
            def __init__(self) -> None:
                self._set = False

            def set(self) -> None:
                self._set = True

            def is_set(self) -> bool:
                return self._set

            def wait(self, seconds: float) -> bool:
                end = world.now + seconds
                while not self._set and world.now < end:
                    world.sleep(min(0.5, end - world.now))
                return self._set

        class Thread:
            def __init__(self, target: Callable[[], None], **_: Any) -> None:
                self._target, self._ended = target, False

            def start(self) -> None:
                world.spawn(world.machine, self._work)

            def _work(self) -> None:
                self._target()
                self._ended = True

            def join(self) -> None:
                while not self._ended:
                    world.sleep(0.25)

        def interrupt(pid: int, number: int) -> None:
            world.machine.interrupted = True

        stand_ins = {
            "time": SimpleNamespace(time=lambda: world.now + world.machine.off, sleep=world.sleep),
            "threading": SimpleNamespace(Event=Event, Thread=Thread),
            "os": SimpleNamespace(getpid=lambda: 1, kill=interrupt),
            "socket": SimpleNamespace(gethostname=lambda: world.machine.name),
            "_process": lambda pid: [],  # no machine sees the processes of another
            "logging": SimpleNamespace(getLogger=lambda _: SimpleNamespace(warning=lambda *_: None)),
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(lease, name, stand_in)
        return world

    return made


def drive(world: World, off: float, window: float, length: float, paused: tuple[float, float] | None) -> list[Any]:
    """Two drivers start within ``window`` seconds, each works for ``length``. When each began and ended, if it did."""
    spans = []

    def driver(machine: Machine) -> None:
        begun = 0.0
        try:
            with lease.only_driver(Bucket(world)):  # type: ignore[arg-type]
                begun, end = world.now, world.now + length
                try:
                    while world.now < end:
                        world.sleep(1.0)
                finally:
                    spans.append((begun, world.now, machine.name))
        except StoreError:
            pass

    for number, start in enumerate((0.0, world.random.uniform(0, window))):
        machine = Machine(f"host{number}", world.random.uniform(-off, off))
        if paused and not number:
            machine.paused = (world.now + paused[0], world.now + paused[1])
        machine.main = world.spawn(machine, lambda machine=machine: driver(machine), start)
    world.run(world.now + 4 * length)
    return sorted(spans)


@pytest.mark.parametrize(
    ("slow", "off", "window", "length"),
    [
        (0.0, 0, 3, 60),
        (0.02, 0, 3, 60),
        (0.1, 0, 3, 60),
        (0.02, 30, 150, 200),
        (0.02, 70, 150, 200),
        (0.1, 600, 150, 200),
    ],
)
def test_two_drivers_never_fill_one_store_at_once(world, slow, off, window, length):
    for seed in range(STARTS // 5):
        spans = drive(world(seed, slow), off, window, length, None)
        assert spans, f"seed {seed}: nobody got the store"
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans)), f"seed {seed}: {spans}"


def test_a_driver_that_was_paused_stops_when_it_sees_that_another_has_the_store(world):
    """Nothing can stop it while it sleeps; awake it asks at once, or when it renews its lease."""
    overtaken = 0
    for seed in range(STARTS // 10):
        spans = drive(world(seed, 0.02), 30, 300, 600, (30.0, 400.0))
        for first, second in itertools.pairwise(spans):
            overtaken += first[1] > second[0]
            assert first[1] <= 1400 + lease.RENEW_SECONDS + 12, f"seed {seed}: {spans}"
    assert overtaken > 10
