"""Language of a message: folding for matching, and telling English from Brazilian Portuguese."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Locale = Literal["en", "pt-BR"]

_WORD = re.compile(r"[a-z0-9]+")
_PORTUGUESE = frozenset(
    """a o os as um uma uns umas de do da dos das no na nos nas em ao aos e ou que qual quais quanto quanta quantos como
    por pra para pro com sem mas mais menos muito muita pouco meu minha meus minhas seu sua seus suas isso isto esse essa
    este esta ta to tou esta estou sao ser foi tem tenho ter nao sim voce voces vc vcs eu ele ela nos posso pode devo
    preciso faco faz fazer fica ficou deixar deixo porque pq onde quando entre ate ainda ja aqui ali la bem bom boa
    faixa musica som grave graves agudo agudos medios voz alto alta baixo baixa largura volume nota andamento tom
    versao anterior referencia oi ola obrigado obrigada valeu beleza resolver corrigir arrumar melhorar comecar primeiro
    significa serve explica explique estourando embolada abafada tonalidade batida pronta pronto lancar plataforma me
    soa soando menor maior ruim certo errado dica dicas ajuda ajudar hoje tudo bateria caixa estereo pista quero queria
    oq oque q tava deu dar vai vou mixagem masterizacao equilibrio pico perda clipando distorcendo dinamica""".split()
)
_ENGLISH = frozenset(
    """the an is are am was were be been do does did how what which why where when who my your its it this that these
    those of in on at to for from with without and or but not no yes you i we they he she can could should would will
    may might must have has had if so too very more less much many loud louder quiet good bad better best enough
    sound sounds sounding track song master mix next first fix make get need want hear tell me explain mean means
    about there here than then low high bass kick wide narrow ready hello hi hey thanks thank key score version
    reference last previous compare level peak show give help start doing wrong improve against weak muddy harsh
    whats isnt dont doesnt im ive whats s t any some all out up down over under music okay ok lift raise lower""".split()
)
_BOTH = frozenset("a e o no as do me to so tom for os s t ok volume som so".split())
_PORTUGUESE_MARK = re.compile(r"[ãõçáéíóúâêôà]", re.IGNORECASE)
_PORTUGUESE_ENDING = re.compile(r"(?:cao|coes|mente|ando|endo|indo|inho|inha|dade|agem)$")


def fold(text: str) -> str:
    """Lower case without accents: what two spellings of a word have in common."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words(text: str) -> list[str]:
    """The words of a message, folded; every other sign only separates them."""
    return _WORD.findall(fold(text))


def detect_locale(text: str) -> Locale:
    """The language of `text`; English where nothing tells them apart ("LUFS?")."""
    portuguese = 1.5 * len(_PORTUGUESE_MARK.findall(text))
    english = 0.0
    for word in words(text):
        weight = 0.4 if word in _BOTH else 1.0
        if word in _PORTUGUESE:
            portuguese += weight
        elif _PORTUGUESE_ENDING.search(word):
            portuguese += 0.5
        if word in _ENGLISH:
            english += weight
    return "pt-BR" if portuguese > english else "en"
