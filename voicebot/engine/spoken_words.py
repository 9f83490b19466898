"""What the words of telephone calls are good for as evidence, in six languages (en it de fr es pt).

All words are folded: lower case, no accents, "ss" for "ß".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .number_words import LANGUAGES as _NUMBER_LANGUAGES
from .numerals import UNITS

# Words that hold sentences together.
_FUNCTION = {
    "en": "a an the i you he she it we they me him her us them my your his its our their this that these those is are "
    "was were be been am do does did will would can could shall should may might must has had of to in on at by for "
    "from with and or but so if then as there here what which who when where how just well oh please thanks thank "
    "really very too also some any s t d ll m re ve o clock dot sign let",
    "it": "il lo la i gli le l un uno una di a da in con su per tra fra e ed o ma se che chi cui mi ti ci vi si li ne "
    "me te lui lei noi voi loro mio mia tuo sua suo nostro questo questa quello quella sono sei siamo era sto stiamo "
    "ho hai ha abbiamo hanno del della dello dei delle degli al alla allo ai alle dal dalla nel nella sul sulla come "
    "quando dove quanto allora poi anche piu molto favore grazie prego c d po",
    "de": "der die das den dem des ein eine einen einem einer eines ich du er sie es wir ihr mir mich dir dich uns "
    "euch ihm ihn mein meine meinen dein sein seine unser und oder aber wenn dann als wie was wer wo wann ist sind war "
    "bin habe hat haben hatte zu zum zur in im an am auf aus bei mit von vom nach fur um so auch noch mal doch schon "
    "nur bitte danke also da hier dieser diese dieses dass",
    "fr": "le la les l un une des du de d a au aux en dans sur sous par pour avec et ou mais si que qui qu quoi dont "
    "je tu il elle on nous vous ils elles me te se moi toi lui leur mon ma mes ta sa ses notre votre ce cet "
    "cette ces c est sont suis es etait ai as avez ont y ne n j m s t comme quand alors donc puis aussi merci plait "
    "svp",
    "es": "el la los las un una unos unas de del a al en con por para y e o u pero si que quien como cuando donde yo "
    "tu ella usted nosotros ellos me te se le lo nos les mi mis su sus este esta esto ese esa eso es son soy era fue "
    "he ha hay estoy estas estamos pues entonces luego tambien muy mas gracias favor",
    "pt": "o a os as um uma uns umas de do da dos das em na nos nas por pelo pela para pra com e ou mas se que quem "
    "como quando onde eu tu ele ela voce eles me te lhe meu minha seu sua este esta isto esse essa isso sao sou era "
    "foi estou estamos ao aos entao depois tambem muito mais obrigado obrigada favor la",
}
# What callers say to whoever takes orders and bookings.
_CARRIERS = {
    "en": "want wanted like need have having get take make give go going know think say tell call put come look got "
    "good now one thing help hello hi speaking mean",
    "it": "voglio vorrei volevo vorremmo prendo prendiamo avere fare posso puo possiamo potrei ecco bene buono buona "
    "buonasera buongiorno prendere ordinare adesso va vado dire sa",
    "de": "will mochte mochten gern gerne nehme nehmen kann konnte konnten brauche wollen machen gut ware guten tag "
    "abend jetzt sagen geht hallo",
    "fr": "veux voudrais voudrait voudrions aimerais prends prendre avoir faire peux peut pouvez vais va bonjour "
    "bonsoir voila bon bien dire sais voulons maintenant aller fort",
    "es": "quiero queria quisiera quisieramos querria gustaria tomar tener hacer puedo puede podria voy va bueno buena "
    "buenas buenos dias bien decir sabe ahora pongame",
    "pt": "quero queria gostaria gostava tomar ter fazer posso pode poderia vou vai bom boa dia noite bem dizer sabe "
    "agora ola",
}
# A yes, in other words. Only what is nothing but a yes is compared so.
_ASSENTS = {
    "en": "yes ok sure right correct exactly absolutely definitely certainly course alright perfect fine ahead indeed",
    "it": "si ok certo certamente esatto giusto bene perfetto accordo assolutamente corretto volentieri",
    "de": "ja ok genau klar richtig gern gerne stimmt naturlich ordnung sicher passt korrekt selbstverstandlich gut",
    "fr": "oui ok accord exact exactement parfait sur voila marche volontiers absolument correct",
    "es": "si ok claro vale exacto correcto acuerdo perfecto bueno supuesto asi",
    "pt": "sim ok claro certo exato exatamente isso perfeito correto bem pode certeza",
}
_NEGATIONS = {
    "en": "not no never without",
    "it": "non no senza nessun nessuno nessuna",
    "de": "nicht kein keine keinen keinem keiner nie ohne nein",
    "fr": "pas non aucun aucune sans jamais",
    "es": "no nunca sin ningun ninguno ninguna",
    "pt": "nao nunca sem nenhum nenhuma",
}
# One of a kind excludes the others, however alike they sound.
_KINDS = {
    "weekday": "monday tuesday wednesday thursday friday saturday sunday lunedi martedi mercoledi giovedi venerdi "
    "sabato domenica montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag lundi mardi mercredi jeudi "
    "vendredi samedi dimanche lunes martes miercoles jueves viernes sabado domingo",
    "month": "january february march april may june july august september october november december gennaio febbraio "
    "marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre januar februar marz mai juni juli "
    "oktober dezember janvier fevrier mars avril juin juillet aout septembre octobre novembre decembre enero febrero "
    "abril mayo junio julio septiembre octubre noviembre diciembre janeiro fevereiro marco maio junho julho setembro "
    "outubro novembro dezembro",
    "time of day": "morning afternoon evening noon midnight mattina mattino pomeriggio sera mezzogiorno mezzanotte "
    "vormittag nachmittag mittag mitternacht matin soir midi minuit manana mediodia medianoche manha",
    "half of the day": "antemeridian postmeridian",
    "size": "small medium large piccola media grande klein mittel gross petite moyenne pequena mediana",
}


ASSENTS: Mapping[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _ASSENTS.items()}
NEGATIONS = frozenset(word for words in _NEGATIONS.values() for word in words.split())
ALSO_ANSWERS = frozenset({"no", "non", "nein", "nao"})  # before a pause they deny what was asked, not what follows
# Before these "no" is an answer, even where no pause was written: "no I want it".
_SUBJECTS = (
    "i we it that this you they my the just je c il on nous vous merci thanks thank grazie danke gracias obrigado io "
    "eu ich wir das ist"
)
SUBJECTS = frozenset(_SUBJECTS.split())
ARTICLES = frozenset({"a", "an", "un", "une", "una", "um", "uma", "ein", "eine", "einen", "einem", "einer"})  # or "1"

KINDS: Mapping[str, str] = {word: kind for kind, words in _KINDS.items() for word in words.split()}

# How telling they are; other words are worth about 1.
FUNCTION_WEIGHT, CARRIER_WEIGHT, ANSWER_WEIGHT = 0.15, 0.4, 0.8


def _weights() -> Iterator[tuple[str, float]]:
    """The last word on a word counts."""
    for table, weight in ((_CARRIERS, CARRIER_WEIGHT), (_FUNCTION, FUNCTION_WEIGHT)):
        yield from ((word, weight) for words in table.values() for word in words.split())
    yield from ((unit, FUNCTION_WEIGHT) for unit in UNITS)
    yield from ((word, ANSWER_WEIGHT) for word in NEGATIONS)
    yield from ((word, ANSWER_WEIGHT) for word in ("yes", "ok", "ja", "oui", "sim", "si"))


WEIGHTS: Mapping[str, float] = dict(_weights())


def _languages() -> Iterator[tuple[str, str]]:
    for table in (_FUNCTION, _CARRIERS, _ASSENTS, _NEGATIONS):
        for language, words in table.items():
            yield from ((word, language) for word in words.split())
    yield from ((word, language) for word, languages in _NUMBER_LANGUAGES.items() for language in languages)


LANGUAGES: dict[str, frozenset[str]] = {}  # word → the languages it is common in
for _word, _language in _languages():
    LANGUAGES[_word] = LANGUAGES.get(_word, frozenset()) | {_language}

_FILLERS = "uh uhh uhm umm erm err eh ehm ehh hm hmm hmmm mm mmm ah ahh ahm aeh aehm oeh euh heu beh boh mah huh ahem"
FILLERS = frozenset(_FILLERS.split())
FILLERS_BETWEEN_PAUSES = frozenset({"um", "er", "em", "ehi"})  # German and Portuguese words elsewhere

# What recognisers write for each other, by what it is compared as.
_SPELLED = """
yes: yeah yep yup yah yea aye
no: nope nah naw
oui: ouais ouaip mouais
ja: jo jep jup joa jawohl
nein: nee
ok: okay okey okej oke
do not: dont
does not: doesnt
did not: didnt
would not: wouldnt
can not: cant cannot
will not: wont
is not: isnt
was not: wasnt
i am: im
going to: gonna
want to: wanna
got to: gotta
let me: lemme
give me: gimme
at: chiocciola arroba arobase klammeraffe
miss: ms
mister: mr
doctor: dr
madame: mme
signor: sig
senora: sra
esta: ta
para: pra
"""
SPELLED: Mapping[str, str] = {
    word: same for same, words in (line.split(": ") for line in _SPELLED.split("\n") if line) for word in words.split()
}
