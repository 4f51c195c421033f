"""From a question to what is asked: an intent and the topics it is about. Rules only, in both languages at once.

The cues are regular expressions over the folded words of the question (lower case, no accents, single spaces), so
that typing on a phone ("pq minha master ta baixa") reads like the full sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from assistant.language import words
from assistant.topics import Mention, find

Kind = Literal[
    "compare-reference", "compare-previous", "platform", "platforms", "score", "first", "good", "tempo", "key",
    "mix-in-key", "fix", "metric", "define", "unmeasured", "summary", "greeting", "thanks", "help", "off-topic",
    "unknown",
]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked. `topics` are ids by kind, in the order of the question."""

    kind: Kind
    metrics: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    about_reference: bool = False  # the reference's own values are wanted
    about_previous: bool = False
    why: bool = False
    how: bool = False
    define: bool = False

    @property
    def topical(self) -> bool:
        return bool(self.metrics or self.problems or self.terms or self.platforms)


def _cue(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{' '.join(pattern.split())})\b".replace("| ", "|").replace(" |", "|"))


DEFINE = _cue(
    r"what (?:is|are|s|does|do)|whats|define|definition of|meaning of|what .{1,30} mean|explain|tell me about|difference between|"
    r"how does .{1,30} work|what .{1,20} for|o que (?:e|sao|significa|quer dizer|seria)|oq (?:e|significa|seria)|oque (?:e|significa)|"
    r"que (?:e|significa) (?:um|uma|o|a)?|significado|significa|explica|explique|explicar|diferenca entre|"
    r"como funciona|(?:pra|para) que serve|serve (?:pra|para)"
)
WHY = _cue(r"why|how come|reason|por que|porque|por qual motivo|pq|motivo")
HOW = _cue(
    r"how (?:do|can|to|should|could|would) ?(?:i|we|you)?|fix|fixing|repair|solve|improve|get rid of|reduce|remove|tame|what (?:should|can|do) i do|"
    r"how (?:much|far) should|tips?|advice|help me|correct|"
    r"como (?:eu )?(?:\w+o|\w+ar|\w+er|\w+ir|que|posso|devo|faz|da pra|da para|se)|resolv\w+|corrig\w+|corrij\w+|arrum\w+|consert\w+|melhor(?:ar|o)|tirar|"
    r"dicas?|ajud\w+|o que (?:eu )?(?:faco|fazer|devo fazer|posso fazer)"
)
REFERENCE = _cue(
    r"reference|references|reference s|ref|ref track|refs|referencia|referencias|the original|commercial track|pro track|"
    r"(?:than|to|next to|against|vs|versus) (?:the )?(?:other|pros|released)"
)
PREVIOUS = _cue(
    r"(?:last|previous|earlier|old|older|first|prior) (?:version|mix|master|upload|one|bounce|export|try|attempt|take)|than before|from before|"
    r"versao (?:anterior|passada|antiga|velha|de antes)|ultima versao|primeira versao|outra versao|mix anterior|master anterior|"
    r"anterior|(?:than|vs|versus|to) v ?\d+|do que antes|que antes|antes e depois|before and after|v ?1|v ?2|"
    r"did (?:i|it|my \w+) (?:improve|get better|get worse)|any (?:better|worse)|(?:got|gotten) (?:better|worse)|since (?:the )?last|"
    r"melhorei|melhorou|piorou|piorei|evolui|evoluiu|o que mudou|what changed|what has changed|what s changed|progress"
)
COMPARED = _cue(
    r"compare|compared|comparison|comparing|versus|vs|next to|beside|against|differ|different|difference|differences|closer|close to|than|match|gap|"
    r"compar\w+|diferenca|diferencas|diferente|perto d[aeo]|ao lado d[aeo]|contra|do que|que a|em relacao|distante d[aeo]|igual"
)
SCORE = _cue(
    r"score|scores|scored|scoring|grade|grades|rating|points|rated|marks?|pontuacao|pontuacoes|pontos|nota|notas|pontuou|avaliacao|\d+ ?(?:/|out of|of|de) ?100"
)
FIRST = _cue(
    r"first|priority|priorities|prioriti[sz]e|most important|most urgent|where (?:do|should|to) (?:i )?(?:start|begin)|start with|next steps?|what next|biggest (?:problem|issue)|"
    r"main (?:problem|issue|thing)s?|worst (?:problem|thing|issue)|what (?:should|do|can|must) i (?:do|fix|change|improve|work on|address)(?: next| now)?|what needs|to do list|todo|"
    r"what (?:is|s) wrong|whats wrong|what would you (?:do|change|fix)|action plan|in (?:which|what) order|improvements?|what to (?:fix|change|improve|do)|"
    r"primeiro|prioridades?|mais importante|mais urgente|por onde (?:eu )?(?:comeco|comecar|devo|posso|inicio)|comecar por|proximos? passos?|maior problema|principal problema|"
    r"principais problemas|pior problema|o que (?:eu )?(?:faco|devo fazer|preciso fazer|preciso mudar|preciso melhorar|mudo|mudar|melhorar|melhoro|corrijo|arrumo|corrigir|devo mudar|devo corrigir|arrumar|fazer|posso melhorar|falta)|"
    r"o que (?:ta|esta|tem de|ha de|tem) (?:errado|ruim|pegando)|qual a ordem|em que ordem|plano de acao|quais (?:os )?problemas|what are the problems|problems does"
)
GOOD = _cue(
    r"what (?:is|s|are|was|works?|sounds?|did i do|do i do) (?:\w+ )?(?:good|great|right|fine|ok|okay|well|working|strong)|whats (?:good|right|fine|working|great)|strengths?|strong points?|did well|"
    r"anything (?:good|right|positive)|positives?|good points|already (?:good|right|fine|ok)|leave alone|keep as is|not touch|shouldn t (?:i )?(?:touch|change)|should (?:i )?not (?:touch|change)|do well|"
    r"o que (?:ta|esta|ja esta|ja ta|tem de|ficou|ha de|acertei|fiz|tem) ?(?:\w+ )?(?:bom|bem|certo|legal|ok|bacana|funcionando|otimo|acertei)?(?= ?$| (?:na|no|nessa|nesta|da|do|em) )|pontos? (?:fortes?|positivos?)|"
    r"acertei|nao (?:devo )?(?:mexer|mudar)|qualidades|deu certo"
)
KEY = _cue(
    r"(?:what|which|the|in|my|song|track|musical|detect\w*|root) (?:\w+ )?key|key (?:of|is|and|signature)|what s the key|whats the key|tonality|scale is|"
    r"tom d[aeo]|qual (?:o|e o) tom|que tom|em que tom|tonalidade|o tom e|tom e|tom musical|tom maior|tom menor|minor or major|major or minor|maior ou menor|menor ou maior|bpm e (?:o )?tom|tempo e (?:o )?tom|tempo and key|bpm and key|key and bpm|key and tempo|tom e (?:o )?bpm|qual tom|tom ta|tom esta|tom da"
)
MIX_IN_KEY = _cue(
    r"mix(?:ing|ed)? (?:in key|with|well with|harmonically)|harmonic mix\w*|harmonic(?:ally)?|(?:compatible|matching|neighbou?ring|which|what) keys|goes? (?:well )?with|keys? (?:that )?(?:go|work|fit|mix)|(?:tracks?|songs?) (?:can|could|should|do|to|will) (?:i )?(?:mix|blend|play|go)|camelot|mash ?up|"
    r"mixagem harmonica|mixar (?:com|em|harmon\w+)|harmonicamente|tons? (?:compativel|compativeis|combina\w*|que combina\w*|vizinhos?)|combina\w* (?:com|harmon\w+)|que tons|quais tons|tocar (?:junto|antes|depois) (?:com|d[aeo])|mixa (?:bem )?com|(?:musicas|faixas) (?:combinam|posso|da pra|mixam)|mixing in key"
)
STREAMING = _cue(
    r"streaming|stream|platforms?|plataformas?|streamings|services|dsps?|release|released|releasing|publish|ready to (?:go|upload|release|drop|ship|send)|is it ready|ready for (?:release|distribution|streaming)|"
    r"lancar|lancamento|distribuicao|distribuir|publicar|pronta (?:pra|para)|pronto (?:pra|para)|ta pront[ao]|esta pront[ao]|normaliza\w* (?:nas|pelas)"
)
SUMMARY = _cue(
    r"how (?:is|s|does|was|did) (?:my|the|this|it) ?(?:track|song|mix|master|music|beat)?|analy[sz]e|analysis|feedback|summary|summari[sz]e|overview|overall|what do you think|thoughts|opinion|verdict|review|report|results?|"
    r"is (?:my|the|this|it) (?:\w+ )?(?:good|ok|okay|fine|bad|decent|any good)|rate|"
    r"como (?:ta|esta|ficou|foi|esta indo) ?(?:a|o|minha|meu|essa|esse)?|analis\w+|resumo|resum\w+|visao geral|no geral|o que (?:voce )?(?:acha|achou)|opiniao|veredito|relatorio|resultado|ta bo[am]|esta bo[am]|ficou bo[am]|avali\w+"
)
GREETING = _cue(
    r"hi|hello|hey|hiya|yo|sup|good (?:morning|evening|afternoon|day)|oi|ola|opa|eae|e ai|iae|salve|fala|bom dia|boa tarde|boa noite|tudo bem|tudo bom|how are you|beleza"
)
THANKS = _cue(r"thanks|thank you|thx|ty|cheers|great job|awesome|perfect|obrigad[ao]|valeu|vlw|brigad[ao]|show|massa|top|perfeito|tmj")
HELP = _cue(
    r"what can you (?:do|tell|help)|what do you (?:do|know|measure)|who are you|what are you|help|how (?:do|does) (?:you|this|it) work|are you (?:a |an )?(?:bot|ai|human|robot)|what can i ask|"
    r"o que (?:voce|vc|tu) (?:faz|sabe|pode|consegue|mede)|quem e (?:voce|vc)|voce e (?:um |uma )?(?:robo|ia|humano|pessoa)|como (?:voce|vc|isso|isto) (?:funciona|pode)|ajuda|me ajuda|o que posso perguntar"
)
ATTACK = _cue(
    r"ignor\w+ (?:\w+ ){0,4}(?:rules?|instructions?|prompts?|regras?|instrucoes|instrucao|above|anterior\w*)|system prompt|prompt do sistema|your (?:prompt|instructions|rules)|suas? (?:regras|instrucoes|prompt)|"
    r"you are now|voce agora e|a partir de agora voce|developer mode|modo desenvolvedor|jailbreak|dan mode|pretend (?:to be|you)|finja|act as|aja como|api keys?|chave da api|other users?|outros? usuarios?|"
    r"reveal|revele|secret|segredo|senha|password|sudo|admin|execut\w+|delete|drop table|esquec\w+ (?:tudo|as regras|suas)|forget (?:everything|your|all)|print (?:your|the) "
)
ELSEWHERE = _cue(
    r"weather|recipe|cook|president|election|politic\w*|football|soccer|world cup|bitcoin|crypto|stock|poem|joke|capital of|python|javascript|html|code|homework|essay|movie|film|girlfriend|boyfriend|love me|doctor|medicine|math|equation|"
    r"translate|news|horoscope|god|dinner|pizza|cake|travel|flight|hotel|iphone|game|gaming|netflix|birthday|who won|how old|"
    r"clima|tempo hoje|previsao do tempo|receita|bolo|cozinh\w+|presidente|eleic\w+|politica|futebol|copa do mundo|jogo|flamengo|corinthians|palmeiras|cripto|acoes|poema|piada|capital d[aeo]|codigo|programa\w*|dever de casa|filme|namorad[ao]|"
    r"medico|remedio|matematica|equacao|traduz\w*|noticias?|horoscopo|deus|jantar|almoco|viagem|voo|aniversario|quem ganhou|quantos anos|vai chover|chover"
)
DOMAIN = _cue(
    r"track|song|mix|master|music|audio|sound|sounds|beat|loud|volume|frequen\w+|plugin|daw|studio|producer|produc\w+|instrument\w*|synth\w*|guitar|piano|sample|samples|faixa|musica|som|soa|batida|estudio|produtor\w*|mixagem|"
    r"masteriza\w*|instrumento\w*|violao|guitarra|teclado|arranjo|arrangement|genre|genero|file|arquivo|wav|funk|trance|techno|house|trap"
)
FOLLOW_UP = _cue(
    r"why|how|that|it|this|these|those|and|more|details?|elaborate|go on|continue|explain|what about|how so|really|sure|"
    r"por que|pq|porque|como|isso|disso|nisso|esse|essa|e|mais|detalhes?|continua|continue|explica|explique|serio|certeza|e se"
)
AND_TOPIC = re.compile(r"^(?:and|what about|how about|e|e o|e a|e os|e as|e em|e na|e no|mas e)\b")
MINE = _cue(
    r"my|mine|this|the|our|here|is it|are they|meu|minha|meus|minhas|esse|essa|este|esta|dessa|desse|desta|deste|da faixa|da musica|da master|da mix|d[ao] meu|aqui|the track|current"
)

# Words that name a topic in a studio and something else outside of it: alone they do not make a question ours.
WEAK = frozenset(
    """air cold quente frio fria fino fina fraca fraco weak pequena pequeno drop beat db phone phones celular speed dark
    radio tv apple amazon festa group grupo tape echo eco trim gap uneven empty vazio vazia warm dr quiet peak picos pico
    tuning delay bus pan ratio lu stem hit price preco password senha film notas phase fase mono chest peito calor caixa
    longe fade monitors release attack depth carro profissional professional top escala notes powerful velocidade tempo
    translate traduz definition definicao voice voz voices thin bright mais alto alta""".split()
)


def classify(question: str, history: Sequence[str] = ()) -> Request:
    """The request of a question; `history` holds the user's earlier messages, oldest first, for "and how?"."""
    tokens = words(question)
    text = " ".join(tokens)
    request = _request(text, tokens)
    if history and _leans_on_history(request, text, tokens):
        return _continued(request, text, history)
    return request


def _request(text: str, tokens: list[str]) -> Request:
    mentions = find(tokens)
    blank = Request(
        "unknown",
        metrics=_ids(mentions, "metrics"),
        problems=_ids(mentions, "problems"),
        terms=_ids(mentions, "terms"),
        platforms=_ids(mentions, "platforms"),
        unmeasured=_ids(mentions, "unmeasured"),
        why=bool(WHY.search(text)),
        how=bool(HOW.search(text)),
        define=bool(DEFINE.search(text)),
    )
    if not tokens:
        return blank
    strong = any(not _weak(m, tokens) for m in mentions)
    if (ELSEWHERE.search(text) or ATTACK.search(text)) and not strong:
        return replace(blank, kind="off-topic")
    return _sorted_out(blank, text, tokens)


def _sorted_out(asked: Request, text: str, tokens: list[str]) -> Request:
    """The first intent whose cue is there; the narrow ones come before the wide ones."""
    reference, previous = bool(REFERENCE.search(text)), bool(PREVIOUS.search(text))
    if "reference-track" in asked.terms and asked.define and not COMPARED.search(text):
        return replace(asked, kind="define")
    if previous and not (reference and not COMPARED.search(text)):
        return replace(asked, kind="compare-previous")
    if reference:
        own_values = bool(asked.metrics) and not COMPARED.search(text) and not asked.why
        return replace(asked, kind="metric" if own_values else "compare-reference", about_reference=own_values)
    if asked.unmeasured and not asked.problems:
        return replace(asked, kind="unmeasured")
    if MIX_IN_KEY.search(text) and not asked.problems:
        return replace(asked, kind="define" if asked.define and "camelot" in asked.terms and not MINE.search(text) else "mix-in-key")
    if asked.platforms:
        return replace(asked, kind="platform")
    if SCORE.search(text):
        return replace(asked, kind="score")
    if KEY.search(text):
        return replace(asked, kind="key")
    if "tempoBpm" in asked.metrics and len(asked.metrics) == 1 and not asked.problems:
        return replace(asked, kind="tempo")
    if FIRST.search(text) and not (asked.metrics or asked.problems or asked.terms):
        return replace(asked, kind="first")
    if GOOD.search(text) and not (asked.metrics or asked.problems):
        return replace(asked, kind="good")
    if STREAMING.search(text) and not (asked.metrics or asked.problems):
        return replace(asked, kind="platforms")
    return _about_topics(asked, text, tokens)


def _about_topics(asked: Request, text: str, tokens: list[str]) -> Request:
    if asked.define and asked.terms and not asked.problems and not (asked.metrics and MINE.search(text)):
        return replace(asked, kind="define")
    if asked.problems:
        return replace(asked, kind="fix")
    if asked.metrics:
        return replace(asked, kind="metric")
    if asked.terms:
        return replace(asked, kind="define")
    if FIRST.search(text):
        return replace(asked, kind="first")
    if HELP.search(text):
        return replace(asked, kind="help")
    if SUMMARY.search(text):
        return replace(asked, kind="summary")
    if THANKS.search(text) and len(tokens) <= 6:
        return replace(asked, kind="thanks")
    if GREETING.search(text) and len(tokens) <= 6:
        return replace(asked, kind="greeting")
    if asked.how and DOMAIN.search(text):
        return replace(asked, kind="first")
    return replace(asked, kind="unknown" if DOMAIN.search(text) else "off-topic")


def _leans_on_history(request: Request, text: str, tokens: list[str]) -> bool:
    if len(tokens) > 9:
        return False
    if request.topical:
        return bool(AND_TOPIC.match(text))
    return request.kind in ("unknown", "off-topic", "first") and bool(FOLLOW_UP.search(text)) and not ELSEWHERE.search(text)


def _continued(request: Request, text: str, history: Sequence[str]) -> Request:
    """The newest earlier question that had a subject lends its topics, or, to "and the bass?", its intent."""
    for earlier in reversed(history[-5:]):
        tokens = words(earlier)
        before = _request(" ".join(tokens), tokens)
        if before.kind in ("off-topic", "unknown", "greeting", "thanks", "help"):
            continue
        if request.topical:
            wanted = before.kind if before.kind in ("compare-reference", "compare-previous") else request.kind
            return replace(request, kind=wanted)
        kind: Kind = "fix" if before.kind == "metric" and request.how else before.kind
        return replace(before, kind=kind, how=request.how, why=request.why, define=request.define)
    return request


def _ids(mentions: Sequence[Mention], kind: str) -> tuple[str, ...]:
    return tuple(m.id for m in sorted(mentions, key=lambda m: m.start) if m.kind == kind)


def _weak(mention: Mention, tokens: list[str]) -> bool:
    return all(word in WEAK for word in tokens[mention.start : mention.start + mention.length])
