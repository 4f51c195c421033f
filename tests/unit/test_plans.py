"""Plans expire by the second, months are UTC's, and quotas renew with the month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.documents.records import Usage
from shared.plans import effective, month_of, plans, renewal_after
from shared.problems import Problem
from uploads.creation import check_size, choose_tier

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_the_plans_are_those_of_the_product() -> None:
    assert {name: plan.analyses_per_month for name, plan in plans().items()} == {"free": 3, "plus": 25, "pro": 200}
    assert plans()["pro"].messages_per_month is None


def test_a_plan_counts_as_free_from_the_second_it_expires() -> None:
    assert effective("pro", NOW + timedelta(seconds=1), NOW).name == "pro"
    assert effective("pro", NOW, NOW).name == "free"
    assert effective("pro", None, NOW).name == "pro"
    assert effective("golden", None, NOW).name == "free"
    assert effective(None, None, NOW).name == "free"


def test_months_are_those_of_utc() -> None:
    late = datetime(2026, 12, 31, 22, 30, tzinfo=timezone(timedelta(hours=-3)))
    assert month_of(late) == "202701"
    assert renewal_after(late) == datetime(2027, 2, 1, tzinfo=UTC)
    assert renewal_after(NOW) == datetime(2026, 12, 1, tzinfo=UTC)


def test_after_the_quota_free_gets_the_reduced_analysis() -> None:
    assert choose_tier(plans()["free"], Usage(0, 2), NOW) == "full"
    assert choose_tier(plans()["free"], Usage(0, 3), NOW) == "reduced"


def test_after_the_quota_pro_is_refused_with_the_date_of_renewal() -> None:
    with pytest.raises(Problem) as raised:
        choose_tier(plans()["pro"], Usage(0, 200), NOW)
    assert raised.value.kind.status == 402
    assert "2026-12-01" in raised.value.detail


def test_more_than_sixty_megabytes_are_refused_before_an_address_is_given() -> None:
    check_size(60_000_000, plans()["free"])
    with pytest.raises(Problem) as raised:
        check_size(60_000_001, plans()["pro"])
    assert raised.value.kind.status == 413
