"""Every scenario of docs/matrixrtc.md has a test that carries its number, or says why not."""

from __future__ import annotations

from tests.scenarios import LEFT_OUT, cell, proofs, table


def test_each_scenario_names_its_tests_or_why_it_has_none() -> None:
    found = proofs()
    wrong = {
        scenario: said
        for scenario, (_, said) in table().items()
        if (said != cell(found[scenario]) if found.get(scenario) else LEFT_OUT not in said)
    }
    assert not wrong, "run `python -m tests.scenarios`; give a reason where there is no test"


def test_no_test_claims_a_scenario_that_does_not_exist() -> None:
    assert set(proofs()) <= set(table())
