"""The report's words and numbers, in English and Brazilian Portuguese."""

from __future__ import annotations

_WORDS = {
    "report": ("analysis", "análise"),
    "noScore": ("no score", "sem nota"),
    "score": ("Score", "Nota"),
    "against": ("against {name}", "comparada com {name}"),
    "theReference": ("the reference", "a referência"),
    "bits": ("{bits} bit", "{bits} bits"),
    "bitsUsed": ("{bits} bit ({used} used)", "{bits} bits ({used} usados)"),
    "leftOut": ("no value, left out", "sem valor, fora da conta"),
    "values": ("Where it stands", "Onde a faixa está"),
    "tonalBalance": ("Tonal balance", "Equilíbrio tonal"),
    "platforms": ("On the platforms", "Nas plataformas"),
    "platform": ("platform", "plataforma"),
    "gain": ("gain", "ganho"),
    "playsAt": ("plays at", "toca em"),
    "suggestions": ("What to do, in this order", "O que fazer, nesta ordem"),
    "nothingToDo": (
        "Nothing. Everything is where it should be: ship it.",
        "Nada. Está tudo no lugar: pode lançar.",
    ),
    "nothingKnown": ("Too little could be measured to advise.", "Foi medido muito pouco para aconselhar."),
    "first": ("first: {title}", "primeiro: {title}"),
    "andThen": ("and then: {titles}", "e depois: {titles}"),
    "truncated": (
        "The file ends early or is damaged, or another is joined on: measured is what could be read.",
        "O arquivo termina antes da hora, está danificado ou traz outro emendado: foi medido o que deu para ler.",
    ),
    "reduced": (
        "Reduced analysis: score, loudness and true peak only. The rest is withheld by the plan's monthly limit.",
        "Análise reduzida: só nota, loudness e true peak. O resto fica retido pelo limite mensal do plano.",
    ),
    "referenceFaults": (
        "The reference itself is out of line in: {faults}. Matching it there is no aim.",
        "A própria referência está fora do padrão em: {faults}. Igualar isso não é objetivo.",
    ),
    "waveform": ("Waveform", "Forma de onda"),
    "clips": ("{samples} clipped samples, first at {at}", "{samples} amostras clipadas, a primeira em {at}"),
    "loudnessOverTime": ("Loudness over time (short-term)", "Loudness no tempo (curto prazo)"),
    "integrated": ("integrated", "integrado"),
    "spectrum": ("Spectrum (third octaves)", "Espectro (terços de oitava)"),
    "stereoField": ("Stereo", "Estéreo"),
    "nothingToShow": ("nothing to show", "nada a mostrar"),
    "tempo": ("Tempo", "Andamento"),
    "key": ("Key", "Tom"),
    "major": ("major", "maior"),
    "minor": ("minor", "menor"),
}


def words(key: str, locale: str, **fields: str) -> str:
    english, portuguese = _WORDS[key]
    return (portuguese if locale == "pt-BR" else english).format(**fields)


def quantity(value: float | None, unit: str, locale: str, decimals: int = 1, *, signed: bool = False) -> str:
    """A number with its unit; a dash for None, a decimal comma in Portuguese."""
    if value is None:
        return "–"
    digits = f"{round(value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f}"
    if locale == "pt-BR":
        digits = digits.replace(".", ",")
    return f"{digits} {unit}" if unit else digits


def length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
