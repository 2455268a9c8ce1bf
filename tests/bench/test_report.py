from bench.report import grid, text
from bench.rounds import Round, Series
from bench.targets import judge
from bench.wire import Result


def _round(cpu_us: float, calls: int = 10) -> Round:
    result = Result(calls=calls, seconds=1, p50_s=0.001, p99_s=0.002, wrong=1, failed=2, own_cpu_s=0)
    return Round(result, cpu_us)


def test_quiet_is_the_best_round_and_wrong_answers_add_up() -> None:
    series = Series("a", [_round(30), _round(10), _round(20)])
    assert (series.cpu_quiet_us, series.cpu_us) == (10, 20)
    assert (series.wrong, series.failed, series.calls) == (3, 6, 30)


def test_a_target_without_a_figure_is_neither_met_nor_missed() -> None:
    assert {verdict.holds for verdict in judge({})} == {None}


def test_a_target_is_missed_at_the_first_figure_beyond_it() -> None:
    by_name = {v.figure: v for v in judge({"pss_mib": 60.5, "start_s": 0.7})}
    assert by_name["memory of a worker"].holds is False
    assert by_name["start to listening"].holds is True


def test_a_quick_run_does_not_claim_a_million_calls() -> None:
    facts = {"correctness.calls": 20_000, "correctness.wrong": 0, "correctness.failed": 0}
    assert [v.holds for v in judge(facts) if "10⁶" in v.figure] == [None]


def test_a_table_is_aligned() -> None:
    assert grid(("name", "n"), [["long name", "1"]]).splitlines() == [
        "| name      | n |",
        "|-----------|--:|",
        "| long name | 1 |",
    ]
    assert text.__doc__
