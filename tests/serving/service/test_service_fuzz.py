"""Requests made by schemathesis from the service's own description: every answer is as described, none is a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from export_folders import small_export
from hypothesis import HealthCheck, settings

schemathesis = pytest.importorskip("schemathesis", reason="needs Python 3.10 and pip install .[test]")

from schemathesis.specs.openapi.checks import negative_data_rejection  # noqa: E402

from recbole_hetcomp.serving.service.app import create_app  # noqa: E402

TOKEN = "open-sesame"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Any:
    app = create_app(small_export(tmp_path_factory.mktemp("exports") / "fuzzed"))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    app = create_app(small_export(tmp_path_factory.mktemp("exports") / "guarded"), TOKEN)
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@schemathesis.pytest.from_fixture("described").parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case):
    answer = case.call_and_validate()
    assert answer.status_code < 500


@schemathesis.pytest.from_fixture("guarded").parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_with_a_token_too(case):
    given = {"Authorization": f"Bearer {TOKEN}"}  # also where schemathesis leaves it out, so that is no wrong request
    answer = case.call_and_validate(headers=given, excluded_checks=[negative_data_rejection])
    assert answer.status_code < 500
