"""The graph: checks at construction, reversing, cutting, and its text."""

from dataclasses import dataclass
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.graph import Graph, GraphError, TaskId


@dataclass(frozen=True)
class Item:
    id: TaskId
    needs: frozenset[TaskId] = frozenset()


def item(id: str, *needs: str) -> Item:
    return Item(TaskId(id), frozenset(map(TaskId, needs)))


def graph(*items: Item) -> Graph[Item]:
    return Graph(items)


def acyclic() -> st.SearchStrategy[Graph[Item]]:
    """Graphs in which every task needs only earlier ones."""

    @st.composite
    def build(draw: st.DrawFn) -> Graph[Item]:
        count = draw(st.integers(0, 12))
        return graph(
            *(
                item(f"t{i}", *(f"t{j}" for j in range(i) if draw(st.booleans())))
                for i in range(count)
            )
        )

    return build()


def test_refuses_an_id_twice() -> None:
    """Two tasks of one id are a mistake in the plan."""
    with pytest.raises(GraphError, match="a is planned twice"):
        graph(item("a"), item("a"))


def test_refuses_a_need_that_is_not_there() -> None:
    """A task that needs something unplanned would wait for ever."""
    with pytest.raises(GraphError, match="a needs b, which is not planned"):
        graph(item("a", "b"))


def test_names_a_circle_from_its_smallest_id() -> None:
    """A circle is shown the same way wherever the search met it."""
    for items in permutations((item("c", "b"), item("b", "a"), item("a", "c"))):
        with pytest.raises(GraphError) as caught:
            graph(*items)
        assert "circle: a -> b -> c -> a" == str(caught.value)


def test_keeps_the_order_of_planning() -> None:
    """Iteration is in the order in which tasks were planned."""
    assert ("b", "a") == graph(item("b"), item("a", "b")).ids


def test_reversed_turns_arrows_and_order() -> None:
    """In the reversed graph a task waits for those which needed it."""
    turned = graph(item("a"), item("b", "a"), item("c", "a")).reversed()

    assert ("c", "b", "a") == turned.ids
    assert {"b", "c"} == turned.needs(TaskId("a"))


def test_only_keeps_an_order_that_ran_through_a_dropped_task() -> None:
    """Cutting the middle out of a chain must not let its ends run at once."""
    cut = graph(item("a"), item("b", "a"), item("c", "b")).only({TaskId("a"), TaskId("c")})

    assert {"a"} == cut.needs(TaskId("c"))


def test_urgency_is_how_many_wait_one_after_the_other() -> None:
    """The longest chain counts, not the number of all that wait."""
    some = graph(item("a"), item("b", "a"), item("c", "b", "a"), item("d", "a"), item("e"))

    assert {"a": 2, "b": 1, "c": 0, "d": 0, "e": 0} == some.urgency


def test_text_shows_needs_in_the_order_of_planning() -> None:
    """The text form is one line a task, stable enough to compare."""
    assert "a\nb\nc  <- a, b" == str(graph(item("a"), item("b"), item("c", "b", "a")))


@given(acyclic())
def test_reversing_twice_is_the_same_graph(some: Graph[Item]) -> None:
    """No arrow is lost or made by turning them."""
    again = some.reversed().reversed()

    assert some.ids == again.ids
    assert [some.needs(id) for id in some.ids] == [again.needs(id) for id in again.ids]


@given(acyclic())
def test_the_sorter_hands_out_every_task_after_its_needs(some: Graph[Item]) -> None:
    """Every task comes exactly once, and never before what it needs."""
    sorter = some.sorter()
    seen: list[TaskId] = []
    while ready := sorter.get_ready():
        for id in ready:
            assert some.needs(id) <= set(seen)
            seen.append(id)
        sorter.done(*ready)

    assert sorted(some.ids) == sorted(seen)
