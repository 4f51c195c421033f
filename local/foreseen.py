"""Which errors a command reports in one line, since their message says what is wrong and what to do."""

from __future__ import annotations


def foreseen(error: Exception) -> bool:
    from requests import RequestException

    from local.client import Refused
    from local.emulators import MissingPart, RulesError
    from local.processes import StartError
    from local.readyfile import NoCloud

    kinds = (MissingPart, RulesError, StartError, NoCloud, Refused, TimeoutError, RequestException, ValueError)
    return isinstance(error, kinds)
