"""Who is calling: Firebase ID tokens, verified with cached keys.

Checked by hand where libraries let things through: the issuer, an empty `sub`, a future `auth_time`.
Source: Firebase, "Verify ID tokens using a third-party JWT library".
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from shared.problems import Problem
from shared.settings import settings

KEYS_URL = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
CLOCK_SKEW_S = 60
REFETCH_EVERY_S = 60.0  # a flood of unknown key ids costs one fetch a minute
FETCH_DEADLINE_S = 3.0
UID = re.compile(r"^[^/]{1,128}$")


@dataclass(frozen=True)
class Caller:
    uid: str
    token: str = field(repr=False)
    operator: bool = False
    auth_time: float = 0.0  # seconds since 1970
    plan: str | None = None  # as far as the limiter knows; what counts is decided by the rules


@dataclass(frozen=True)
class FetchedKeys:
    by_id: Mapping[str, Any]  # key id -> public key
    max_age_s: float


def fetch_keys() -> FetchedKeys:
    """The keys as the issuer has them. Raises what the call raises, at the latest after FETCH_DEADLINE_S."""
    import jwt

    from shared.upstash import within
    from shared.upstash_http import SyncHttp

    with SyncHttp() as http, within(FETCH_DEADLINE_S):
        answer = http.get(KEYS_URL)
    answer.raise_for_status()
    max_age = re.search(r"max-age=(\d+)", answer.headers.get("cache-control", ""))
    by_id = {key["kid"]: jwt.PyJWK.from_dict(key, algorithm="RS256").key for key in answer.json()["keys"]}
    return FetchedKeys(by_id, float(max_age[1]) if max_age else 3600.0)


class KeyRing:
    """The public keys of the issuer: cached by max-age, refetched on an unknown id at a limited rate,
    and the last good ones used while the key server is down.

    A fetch has a thread of its own, so that nobody whose key is known waits for it.
    """

    def __init__(
        self, fetch: Callable[[], FetchedKeys] = fetch_keys, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._keys: Mapping[str, Any] = {}
        self._fresh_until = float("-inf")
        self._next_fetch = float("-inf")
        self._fetched = threading.Event()  # of the last fetch

    def key(self, key_id: str) -> Any:
        """The key of this id. Raises Problem `unauthenticated` or, without any key, `unavailable`."""
        key, fetched = self._known(key_id)
        if key is None:
            fetched.wait(FETCH_DEADLINE_S)
            key = self._keys.get(key_id)
        if key is not None:
            return key
        if not self._keys:
            raise Problem("unavailable", "The sign-in keys cannot be fetched; try again in a minute.")
        raise refused("it is signed with an unknown key; sign in again")

    def _known(self, key_id: str) -> tuple[Any, threading.Event]:
        """The key, if it is known by now, and the end of the last fetch, which begins here where it is time."""
        with self._lock:
            key, now = self._keys.get(key_id), self._now()
            if (key is None or now >= self._fresh_until) and now >= self._next_fetch:
                self._next_fetch = now + REFETCH_EVERY_S
                self._fetched = threading.Event()
                threading.Thread(target=self._refetch, args=(self._fetched,), daemon=True).start()
            return key, self._fetched

    def _refetch(self, fetched: threading.Event) -> None:
        try:
            answer = self._fetch()
            if not answer.by_id:
                raise ValueError("there is no key in the answer")  # noqa: TRY301  # as bad as no answer
            with self._lock:
                self._keys, self._fresh_until = answer.by_id, self._now() + answer.max_age_s
        except Exception as error:  # whatever it is, the last good keys go on serving
            from shared import telemetry

            telemetry.warning("the sign-in keys could not be fetched", error=type(error).__name__)
        finally:
            fetched.set()


@cache
def _key_ring() -> KeyRing:
    return KeyRing()


def verify(token: str, *, project: str, allow_unsigned: bool, keys: KeyRing, now: float | None = None) -> Caller:
    """The caller whom a Firebase ID token names.

    Raises Problem `unauthenticated` that says what is wrong with the token, never showing it.
    """
    import jwt

    now = time.time() if now is None else now
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") == "none" and allow_unsigned:
            claims = jwt.decode(token, options={"verify_signature": False})
        else:
            if header.get("alg") != "RS256":
                raise refused("it is not signed with RS256")
            key = keys.key(str(header.get("kid", "")))
            claims = jwt.decode(token, key, algorithms=["RS256"], options=_SIGNATURE_ONLY)
    except jwt.InvalidTokenError as error:
        raise refused("it is malformed or its signature is wrong") from error
    _check_claims(claims, project, now)
    return Caller(claims["sub"], token, claims.get("operator") is True, float(claims["auth_time"]))


_SIGNATURE_ONLY: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}


def _check_claims(claims: Mapping[str, Any], project: str, now: float) -> None:
    if claims.get("iss") != f"https://securetoken.google.com/{project}" or claims.get("aud") != project:
        raise refused("it was issued for another project")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not UID.match(subject):
        raise refused("it names no user")
    times = {name: claims.get(name) for name in ("exp", "iat", "auth_time")}
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in times.values()):
        raise refused("exp, iat or auth_time is missing")
    if claims["exp"] <= now - CLOCK_SKEW_S:
        raise refused("it has expired; sign in again")
    if claims["iat"] > now + CLOCK_SKEW_S or claims["auth_time"] > now + CLOCK_SKEW_S:
        raise refused("it comes from the future; check the clock")


def refused(reason: str) -> Problem:
    """The problem for a token that is not taken, and why; the token itself is never shown."""
    detail = f"The ID token is refused: {reason}."
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="prodai"'})


def caller_of(authorization: str | None) -> Caller:
    """The caller of a request, from its `Authorization: Bearer ID_TOKEN` header."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        detail = "Send the Firebase ID token as `Authorization: Bearer ID_TOKEN`."
        raise Problem("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="prodai"'})
    known = settings()
    return verify(token.strip(), project=known.project, allow_unsigned=known.allow_unsigned_tokens, keys=_key_ring())
