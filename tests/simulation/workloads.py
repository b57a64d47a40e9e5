"""Random programs, all drawn from one seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.programs import Ask, Fail, Give, Join, Par, Plan, Spawn, Step, Work, as_needs
from tests.simulation.world import World

from tenire.core.tasks import Priority

if TYPE_CHECKING:
    import random

    from tenire.core.tasks import Needs

CPU, MEMORY = 2000, 10
PIPELINES = "abc"


def new_world() -> World:
    return World(
        capacity={"cpu": CPU, "memory": MEMORY, "threads": 2, "processes": 1, "pages": 2}, rates={"rpm": (2.0, 3)}
    )


def some_needs(rng: random.Random, *, rates: bool = True) -> Needs:
    amounts: dict[str, int] = {}
    for name, choices, often in (
        ("cpu", (500, 1000, 1000, 2000), 0.5),
        ("memory", (1, 3, 5, 10), 0.4),
        ("threads", (1, 2), 0.2),
        ("processes", (1,), 0.1),
        ("pages", (1, 2), 0.2),
        ("rpm", (1, 3), 0.15 if rates else 0.0),
    ):
        if rng.random() < often:
            amounts[name] = rng.choice(choices)
    return as_needs(**amounts)


def some_steps(rng: random.Random, depth: int, *, par: bool = True) -> tuple[Step, ...]:
    steps: list[Step] = []
    spawned = 0
    for _ in range(rng.randint(0, 5)):
        kind = rng.random()
        if kind < 0.3:
            steps.append(Work(rng.choice((0.0, 0.01, 0.5, 1.0, 3.0))))
        elif kind < 0.35:
            needs = some_needs(rng)
            for _ in range(rng.choice((2, 10))):
                steps += [Ask(needs), Work(0.1), Give()]
        elif kind < 0.55:
            steps.append(Ask(some_needs(rng)))
        elif kind < 0.62:
            steps.append(Give())
        elif kind < 0.78 and depth:
            after = tuple(index for index in range(spawned) if rng.random() < 0.3)
            steps.append(Spawn(some_plan(rng, depth - 1), after))
            spawned += 1
        elif kind < 0.9 and spawned:
            steps.append(Join(rng.randrange(spawned)))
        elif kind < 0.93:
            steps.append(Join(rng.randrange(1000), own=False))
        elif kind < 0.96 and par:
            steps.append(Par(tuple(some_steps(rng, depth, par=False) for _ in range(rng.randint(1, 3)))))
        elif kind < 0.98:
            steps.append(Fail(rng.randint(0, 2)))
    return tuple(steps)


def some_plan(rng: random.Random, depth: int = 2) -> Plan:
    if rng.random() < 0.3:  # one that holds, and has no deadline to save it
        needs = rng.choice(((), (), as_needs(memory=rng.choice((1, 4, 5)))))
        return Plan(
            needs, some_steps(rng, depth), rng.choice(PIPELINES), rng.choice(tuple(Priority)), rng.choice("xyz")
        )
    return Plan(
        some_needs(rng),
        some_steps(rng, depth),
        rng.choice(PIPELINES),
        rng.choice((*Priority, Priority.NORMAL, Priority.NORMAL)),
        rng.choice("xyz"),
        rng.choice((None, None, None, None, 0.5, 5.0, 60.0)),
        rng.random() < 0.2,
    )


def some_world(rng: random.Random, *, tasks: int = 12, disturbed: bool = True) -> World:
    """Return a world with everything planned that is going to happen."""
    world = new_world()
    for _ in range(rng.randint(2, tasks)):
        plan = some_plan(rng)
        earlier = [rng.randrange(1000) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        at = rng.choice((0.0, 0.0, 0.1, 1.0, 2.0, 5.0))
        world.at(at, lambda plan=plan, earlier=earlier: submit(world, plan, earlier))
    for _ in range(rng.choice((0, 0, 1, 3))):
        load(world, rng)
    if disturbed:
        for _ in range(rng.randint(0, 4)):
            disturb(world, rng)
    return world


def submit(world: World, plan: Plan, earlier: list[int]) -> None:
    world.submit(plan, [world.runs[number % len(world.runs)] for number in earlier] if world.runs else [])


def load(world: World, rng: random.Random) -> None:
    """Plan that the machine is loaded, for a while or for good: less may be held, or there is no burst credit.

    All work must come to an end nevertheless.
    """
    selection = world.scheduler.selection
    at = rng.uniform(0.0, 6.0) if rng.random() < 0.7 else 0.0
    seconds = rng.choice((0.5, 5.0, 20.0, None))
    if rng.random() < 0.3:
        world.at(at, lambda: setattr(selection, "burst_allowed", False))
        if seconds is not None:
            world.at(at + seconds, lambda: setattr(selection, "burst_allowed", True))
        return
    name, choices = rng.choice((("cpu", (0, 500, 1000)), ("memory", (0, 3, 7)), ("threads", (1,)), ("pages", (1,))))
    index, most = world.admission.names.index(name), rng.choice(choices)
    world.at(at, lambda: selection.limits.__setitem__(index, most))
    if seconds is not None:
        world.at(at + seconds, lambda: selection.limits.pop(index, None))


def disturb(world: World, rng: random.Random) -> None:
    """Plan something that comes from outside; all that was taken away comes back in the end."""
    admission, scheduler = world.admission, world.scheduler
    at = rng.uniform(0.0, 6.0)
    number = rng.randrange(1000)
    pipeline = scheduler.shares.pipeline(rng.choice(PIPELINES))
    match rng.randrange(7):
        case 0:
            world.at(at, lambda: world.runs and world.cancel(world.runs[number % len(world.runs)]))
        case 1:
            world.at(at, lambda: world.runs and world.abandon(world.runs[number % len(world.runs)]))
        case 2:
            amount = rng.choice((0, 1000))
            world.at(at, lambda: admission.register("cpu", amount))
            world.at(at + 20.0, lambda: admission.register("cpu", CPU))
        case 3:
            amount = rng.choice((0, 4))
            world.at(at, lambda: admission.register("memory", amount))
            world.at(at + 20.0, lambda: admission.register("memory", MEMORY))
        case 4:
            world.at(at, lambda: setattr(pipeline, "suspended", "unhealthy"))
            world.at(at + 20.0, lambda: setattr(pipeline, "suspended", None))
        case 5:
            lowest = rng.choice((Priority.HIGH, Priority.NORMAL))
            world.at(at, lambda: setattr(scheduler.selection, "lowest_class", lowest))
            world.at(at + 20.0, lambda: setattr(scheduler.selection, "lowest_class", Priority.IDLE))
        case 6:
            weight = rng.choice((0.01, 1.0, 50.0))
            level = rng.choice(tuple(Priority))
            world.at(at, lambda: scheduler.shares.configure(pipeline.name, weight=weight, priority=level))
