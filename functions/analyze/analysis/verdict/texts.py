"""The sentences of the verdict in its two languages, with numbers written as each language writes them."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.verdict.tables import LOCALES, TEXTS, Names


@dataclass(frozen=True)
class number:  # noqa: N801
    """A number in a sentence: `decimals` places, a decimal comma in Portuguese, never "-0.0"."""

    value: float
    decimals: int = 1

    def written(self, locale: str) -> str:
        digits = f"{round(self.value, self.decimals) + 0.0:.{self.decimals}f}"
        return digits.replace(".", ",") if locale == "pt-BR" else digits


Field = number | Names | str


def both(*path: str, **fields: Field) -> dict[str, str]:
    """A sentence of texts.json in every locale, its fields filled in."""
    return {locale: written(locale, *path, **fields) for locale in LOCALES}


def written(locale: str, *path: str, **fields: Field) -> str:
    """A sentence of texts.json in one locale, its fields filled in."""
    found = TEXTS
    for key in path:
        found = found[key]
    sentence: str = found[locale]
    return sentence.format(**{name: _field(field, locale) for name, field in fields.items()})


def _field(field: Field, locale: str) -> str:
    if isinstance(field, str):
        return field
    return field.written(locale) if isinstance(field, number) else field[locale]
