import pytest
from bench.experiments.probing import CALLERS, probed


@pytest.mark.parametrize("probes", [1, 3])
async def test_as_many_reach_the_server_as_are_let_through_and_all_others_hear_no(probes: int) -> None:
    """RES-01"""
    found = await probed(probes)
    assert found.reached == probes
    assert len(found.verdicts_us) == CALLERS - probes
