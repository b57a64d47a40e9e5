"""Taking and giving back resources."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.admission import CPU, MEMORY, PROCESSES, Admission
from tenire.core.fair_share import PipelineShare
from tenire.core.tasks import CPU_UNIT, Resources, Task
from tenire.errors import ConfigError, RejectedError


def new(*, cpu: float = 2, memory: int = 10) -> Admission:
    admission = Admission(cpu=cpu, memory=memory, threads=2, processes=1)
    admission.register("pages", 3)
    return admission


CPUS = st.sampled_from([0, 0.0001, 1 / 3, 0.1, 0.5, 1, 2, 2.5])
RESOURCES = st.builds(
    Resources,
    cpu=CPUS,
    memory=st.integers(0, 12),
    other=st.dictionaries(st.sampled_from(["pages", "threads", "cpu", "memory"]), st.integers(0, 4), max_size=2),
)


class AdmissionMachine(RuleBasedStateMachine):
    """Compared with a naive sum over what is held."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = new()
        self.held: list[Task] = []

    @rule(resources=RESOURCES)
    def take(self, resources: Resources) -> None:
        admission = self.admission
        try:
            needs = admission.needs(resources, task="t")
        except RejectedError:
            return
        assert len({index for index, _ in needs}) == len(needs)
        assert all(amount > 0 for _, amount in needs)
        short = {index for index, amount in needs if amount > self.left(index)}
        assert admission.lacking(needs) == sum(1 << index for index in short)
        if not short:
            admission.take(needs, 0.0)
            self.held.append(Task(PipelineShare("p"), needs=needs))

    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        if self.held:
            task = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            self.admission.give(task.needs)

    @rule(name=st.sampled_from(["memory", "pages"]), capacity=st.integers(0, 12))
    def resize(self, name: str, capacity: int) -> None:
        index = self.admission.names.index(name)
        assert self.admission.register(name, capacity) == index

    def left(self, index: int) -> int:
        taken = sum(amount for task in self.held for other, amount in task.needs if other == index)
        return self.admission.capacity[index] - taken

    @invariant()
    def agrees(self) -> None:
        self.admission.check(self.held)
        for index, name in enumerate(self.admission.names):
            capacity = self.admission.capacity[index]
            assert self.admission.free[index] == self.left(index)
            assert self.admission.held()[name] == (capacity - self.left(index), capacity)


TestAdmission = AdmissionMachine.TestCase
TestAdmission.settings = settings(stateful_step_count=40)


@given(st.lists(CPUS, max_size=50))
def test_any_mix_of_fractions_is_given_back_exactly(cpus: list[float]) -> None:
    admission = new(cpu=1000)
    taken = [admission.needs(Resources(cpu=cpu), task="t") for cpu in cpus]
    for needs in taken:
        admission.take(needs, 0.0)
    for needs in reversed(taken):
        admission.give(needs)
    assert admission.free[CPU] == 1000 * CPU_UNIT


def test_more_than_there_is_is_refused_with_both_figures_and_a_remedy() -> None:
    admission = new()
    with pytest.raises(RejectedError, match="'big' needs 3 CPU slots but the whole engine has 2 CPU slots") as caught:
        admission.needs(Resources(cpu=3), task="big")
    assert "ConcurrencyManager(cpu=…)" in str(caught.value.hint)
    with pytest.raises(RejectedError, match="11 bytes of memory but the whole engine has 10 bytes"):
        admission.needs(Resources(memory=11), task="big")
    with pytest.raises(RejectedError, match="4 of pages but the whole engine has 3 of pages"):
        admission.needs(Resources(other={"pages": 4}), task="big")
    admission.register_rate("calls", 1.0, 5)
    with pytest.raises(RejectedError, match="6 of calls but the whole engine has 5 of calls") as caught:
        admission.needs(Resources(other={"calls": 6}), task="big")
    assert "orchestrator.register_rate('calls', …, burst=…)" in str(caught.value.hint)
    assert admission.needs(Resources(cpu=2, memory=10, other={"pages": 3}), task="all") == (
        (CPU, 2000), (MEMORY, 10), (4, 3),
    )  # fmt: skip


def test_a_resource_asked_for_twice_counts_as_the_sum() -> None:
    admission = new()
    assert admission.needs(Resources(cpu=1, other={"cpu": 1}), task="t") == ((CPU, 2 * CPU_UNIT),)
    with pytest.raises(RejectedError, match="12 bytes"):
        admission.needs(Resources(memory=6, other={"memory": 6}), task="t")


def test_an_unknown_resource_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'gpu' \(there are: cpu, memory, threads, processes, pages\)") as caught:
        new().needs(Resources(other={"gpu": 1}), task="t")
    assert caught.value.key == "gpu"


def test_amounts_of_nothing_are_left_out() -> None:
    assert new().needs(Resources(memory=0.5, other={"pages": 0}), task="t") == ()  # type: ignore[arg-type]


def test_the_share_is_that_of_the_scarcest_resource() -> None:
    assert new().share(((CPU, 500), (MEMORY, 5))) == 0.5


def test_a_lowered_capacity_gives_nothing_until_enough_came_back() -> None:
    admission = new()
    admission.take(((MEMORY, 6),), 0.0)
    admission.register("memory", 4)
    assert admission.free[MEMORY] == -2
    assert admission.lacking(((MEMORY, 1),)) == 1 << MEMORY
    assert admission.possible(((MEMORY, 4),))
    assert not admission.possible(((CPU, 1), (MEMORY, 5)))
    admission.give(((MEMORY, 6),))
    assert admission.lacking(((MEMORY, 4),)) == 0


def test_a_set_of_resources_is_named() -> None:
    assert new().named(1 << CPU | 1 << PROCESSES) == ["cpu", "processes"]


def test_of_a_resource_of_which_nothing_is_left_everything_is_all_of_it() -> None:
    admission = new()
    admission.register("memory", 0)
    assert admission.share(((MEMORY, 5),)) == 1.0


def test_the_same_object_means_the_same_until_a_capacity_changes() -> None:
    admission, resources = new(), Resources(memory=5)
    needs = admission.needs(resources, task="t")
    assert admission.needs(resources, task="t") is needs
    admission.register("memory", 4)
    with pytest.raises(RejectedError, match="the whole engine has 4 bytes"):
        admission.needs(resources, task="t")
    admission.register("memory", 10)
    kept = [Resources(memory=1) for _ in range(1000)]
    for each in kept:
        admission.needs(each, task="t")
    assert len(admission._known) <= 256


def test_a_resource_is_found_by_its_name() -> None:
    assert new().index_of("pages") == 4
    assert new().index_of("gpu") is None
