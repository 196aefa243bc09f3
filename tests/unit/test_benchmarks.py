"""The benchmarks run and say what they found. No duration of a real clock is asserted."""

import json

import pytest

from benchmarks import bench_import, bench_makespan, bench_scheduler
from benchmarks.__main__ import main
from benchmarks.options import Options, Shape, median
from benchmarks.table import Report, Row, as_json, as_markdown, as_text
from k3dasync.fake import Latency

SHAPES = [Shape(1, 0), Shape(1, 2), Shape(3, 2), Shape(3, 10)]
MET = Row(
    benchmark="engine",
    case="create 3+10",
    ours=5.0,
    unit="s",
    against="k3d",
    reference=20.0,
    low=4.5,
    high=6.25,
    runs=3,
    most_ratio=0.34,
)


def test_a_table_has_a_line_for_each_row_and_note() -> None:
    """Value, spread, reference, ratio and aim stand in one line."""
    head, row, blank, note = as_text(Report([MET], ["two cores"])).splitlines()

    assert "benchmark" in head
    assert ["engine", "create", "3+10", "5.00", "s", "4.50-6.25", "(3)"] == row.split()[:7]
    assert ["k3d", "20.0", "s", "0.25", "≤", "0.34", "met"] == row.split()[7:]
    assert ("", "two cores") == (blank, note)


def test_columns_are_aligned() -> None:
    """Every cell begins or ends where its heading does."""
    long = Row(benchmark="engine", case="a" * 30, ours=1.0, unit="s", against="nobody")
    _, first, second, *_ = as_text(Report([MET, long])).splitlines()

    assert first.index("5.00 s") == second.index("1.00 s")


def test_a_missed_aim_is_called_so() -> None:
    """Aims stand for the value or for the ratio; without one nothing is claimed."""
    slow = Row(benchmark="b", case="c", ours=9.0, unit="s", against="", reference=3.0, most=8.0)
    plain = Row(benchmark="b", case="c", ours=9.0, unit="s", against="", reference=3.0)

    assert "≤ 8 s MISSED" == slow.aim
    assert (None, "") == (plain.is_met, plain.aim)
    assert 3.0 == plain.ratio


def test_a_row_without_reference_has_no_ratio() -> None:
    """Nor has one whose reference is nothing at all."""
    assert None is Row(benchmark="b", case="c", ours=9.0, unit="s", against="").ratio
    assert None is Row(benchmark="b", case="c", ours=1.0, unit="s", against="", reference=0.0).ratio


def test_the_same_for_machines_and_for_pages() -> None:
    """JSON carries ratio and verdict, markdown one line a row."""
    report = Report([MET], ["two cores"])

    found = json.loads(as_json(report))
    assert (0.25, True, "create 3+10") == tuple(
        found["rows"][0][key] for key in ("ratio", "is_met", "case")
    )
    assert ["two cores"] == found["notes"]
    assert 5 == len(as_markdown(report).splitlines())


def test_an_import_has_a_row_for_every_other_way() -> None:
    """k3d's only where there is one."""
    times = bench_import.Times(ours=[2.0, 4.0, 3.0], serial=[12.0])
    (row,) = bench_import.rows(Shape(3, 10), times)
    assert ("200 MB into 13 nodes", 0.25, 3) == (row.case, row.ratio, row.runs)

    times.k3d.append(6.0)
    assert [0.25, 0.5] == [one.ratio for one in bench_import.rows(Shape(3, 10), times)]


def test_median() -> None:
    """The middle one, or what lies between the two in the middle."""
    assert 2 == median([3, 1, 2])
    assert 2.5 == median([4, 1, 2, 3])


@pytest.mark.parametrize("name", bench_scheduler.GRAPHS)
@pytest.mark.parametrize("size", [1, 2, 60])
def test_graphs_have_their_size_and_shape(name: str, size: int) -> None:
    """A chain is a chain, a wide graph has one beginning and one end, equal calls give equal."""
    graph = bench_scheduler.GRAPHS[name](size)
    needs = [len(graph.needs(id)) for id in graph.ids]

    assert size == len(graph)
    assert needs == [len(graph.needs(id)) for id in bench_scheduler.GRAPHS[name](size).ids]
    if name == "chain":
        assert [0, *[1] * (size - 1)] == needs
    if name == "wide":
        assert size - 1 == needs[-1]


def test_the_scheduler_is_measured() -> None:
    """Ten tasks in every graph, one round."""
    report = bench_scheduler.run(Options(runs=1), sizes=(1, 10))

    assert 3 * 3 + 1 == len(report.rows)
    assert all("scheduler" == row.benchmark for row in report.rows)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_our_order_lies_between_the_bound_and_that_of_k3d(shape: Shape) -> None:
    """In virtual time, at equal latencies: exact, so no tolerance."""
    found = bench_makespan.measure(shape)

    assert found.bound <= found.ours < found.k3d_order < found.k3d


def test_makespans_are_the_same_each_time() -> None:
    """Virtual time has no noise."""
    assert bench_makespan.measure(Shape(1, 2)) == bench_makespan.measure(Shape(1, 2))


def test_the_bound_is_the_longest_chain_or_all_the_work() -> None:
    """Agents without end keep the cores busy longer than any chain takes."""
    few, many = (bench_makespan.bound(Shape(1, agents), Latency()) for agents in (2, 500))

    assert bench_makespan.bound(Shape(1, 3), Latency()) == few
    assert many > 500 * 2.4 / 2


def test_the_command_prints_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Several names, one table, the machine below it."""
    assert 0 == main(["makespan", "--shapes", "1+0", "-o", "json"])

    found = json.loads(capsys.readouterr().out)
    assert {"makespan"} == {row["benchmark"] for row in found["rows"]}
    assert found["notes"][0].startswith("machine: ")


@pytest.mark.parametrize("wrong", [["nothing"], ["makespan", "--shapes", "3"], ["--runs", "0"]])
def test_what_cannot_be_understood_is_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As every command does: exit code 2 and a usage line."""
    with pytest.raises(SystemExit) as error:
        main(wrong)

    assert 2 == error.value.code
    assert "usage:" in capsys.readouterr().err
