"""Uploads go to the region that is near and well, by the client's country and the operators' weights."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.settings import REGIONS
from uploads.regions import country_of, order, table

EVEN = dict.fromkeys(REGIONS, 1.0)
regions = st.sampled_from(REGIONS)


def first(asked: str | None = None, country: str | None = None, ticket: str = "t", **changes: object) -> str:
    known: dict[str, object] = {"have": REGIONS, "weights": EVEN, "left_out": (), **changes}
    return order(asked, country, ticket=ticket, **known)[0]  # type: ignore[arg-type]


def test_every_country_of_iso_3166_has_one_region() -> None:
    assert len(table().region_of) == 249
    assert all(len(code) == 2 and code.isupper() for code in table().region_of)
    assert set(table().region_of.values()) == set(table().nearest) == set(REGIONS)


def test_a_region_is_nearest_to_itself_and_every_region_is_reached() -> None:
    assert all(near[0] == region and set(near) == set(REGIONS) for region, near in table().nearest.items())


@pytest.mark.parametrize(
    ("country", "region"), [("BR", "us"), ("US", "us"), ("DE", "eu"), ("ZA", "eu"), ("JP", "asia"), ("AU", "asia")]
)
def test_auto_goes_by_the_country(country: str, region: str) -> None:
    assert first("auto", country) == first(None, country) == region


@pytest.mark.parametrize("asked", [None, "auto", "mars", "", "US"])
def test_what_nobody_knows_falls_back_to_us(asked: str | None) -> None:
    assert first(asked) == first(asked, "XX") == "us"


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_that_is_asked_for_is_given_whatever_the_country(region: str) -> None:
    assert first(region, "BR") == region


def test_without_a_bucket_there_the_nearest_region_that_has_one_takes_it() -> None:
    assert first("eu", have={"us", "asia"}) == "us"
    assert first("auto", "JP", have={"us", "eu"}) == "us"
    assert first("auto", "DE", have={"us"}) == "us"


def test_a_region_whose_storage_fails_is_left_out_but_stays_the_last_resort() -> None:
    assert order("eu", None, have=REGIONS, weights=EVEN, left_out={"eu"}, ticket="t") == ["us", "asia", "eu"]
    assert first("us", have={"us"}, left_out={"us"}) == "us"


def test_a_weight_of_zero_leaves_a_region_out_for_whoever_asks() -> None:
    weights = {"us": 1.0, "eu": 0.0, "asia": 1.0}
    assert first("auto", "DE", weights=weights) == first("eu", weights=weights) == "us"


def test_a_weight_is_the_share_of_uploads_that_stays_and_one_upload_always_goes_the_same_way() -> None:
    weights = {"us": 1.0, "eu": 0.25, "asia": 1.0}
    chosen = [first("auto", "DE", ticket=f"track-{n}", weights=weights) for n in range(2000)]
    assert set(chosen) == {"eu", "us"}
    assert chosen.count("eu") / 2000 == pytest.approx(0.25, abs=0.03)
    assert chosen == [first("auto", "DE", ticket=f"track-{n}", weights=weights) for n in range(2000)]
    assert first("eu", weights=weights, ticket="track-1") == "eu"  # asked for by name, it is given


@given(
    st.one_of(st.none(), regions, st.text(max_size=5)),
    st.one_of(st.none(), st.sampled_from(sorted(table().region_of)), st.text(max_size=3)),
    st.sampled_from([set(some) for n in (1, 2, 3) for some in combinations(REGIONS, n)]),
    st.dictionaries(regions, st.floats(0, 100)),
    st.sets(regions),
    st.text(max_size=8),
)
def test_whatever_is_known_every_region_with_a_bucket_is_named_once(
    asked: str | None,
    country: str | None,
    have: set[str],
    weights: dict[str, float],
    left_out: set[str],
    ticket: str,
) -> None:
    found = order(asked, country, have=have, weights=weights, left_out=left_out, ticket=ticket)
    assert sorted(found) == sorted(have)
    if have - left_out:
        assert found[0] not in left_out


@pytest.mark.parametrize(
    ("headers", "country"),
    [
        ({}, None),
        ({"x-client-geo-location": "BR"}, "BR"),
        ({"x-client-geo-location": "BR,Santos"}, "BR"),
        ({"x-vercel-ip-country": "de"}, "DE"),
        ({"x-appengine-country": "ZZ", "cf-ipcountry": "JP"}, "JP"),
        ({"x-client-geo-location": "Brazil"}, None),
        ({"x-client-geo-location": "\n"}, None),
    ],
)
def test_the_country_is_what_a_proxy_in_front_says(headers: dict[str, str], country: str | None) -> None:
    assert country_of(headers) == country
