"""The words of numbers in six languages (en it de fr es pt): what each is worth, and in which of them it is a number.

All words are folded: lower case, no accents, "ss" for "ß". A word that is a number in two languages is worth the same
in both. "Un", "una", "ein", "um" are not here: `ONES` says beside whose numbers they count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# From 0 on; "/" parts words for the same number, "-" stands for none.
_SMALL = {
    "en": "zero/nought one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici "
    "sedici diciassette diciotto diciannove",
    "de": "null eins zwei/zwo drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn "
    "sechzehn siebzehn achtzehn neunzehn",
    "fr": "zero - deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis "
    "diecisiete dieciocho diecinueve",
    "pt": "zero - dois/duas tres quatro cinco seis sete oito nove dez onze doze treze catorze/quatorze quinze "
    "dezesseis/dezasseis dezessete/dezassete dezoito dezenove/dezanove",
}
# From 20 on, in tens.
_TENS = {
    "en": "twenty thirty forty/fourty fifty sixty seventy eighty ninety",
    "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "de": "zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig",
    "fr": "vingt/vingts trente quarante cinquante soixante septante huitante/octante nonante",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
}
# From 1 on: of dates, floors and "the second one". Not "prima", which is "before".
_ORDINALS = {
    "en": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
    "it": "primo secondo/seconda terzo/terza quarto/quarta quinto/quinta sesto/sesta settimo/settima ottavo/ottava "
    "nono/nona decimo/decima",
    "de": "erst zweit dritt viert funft sechst siebt/siebent acht neunt zehnt elft zwolft dreizehnt vierzehnt "
    "funfzehnt sechzehnt siebzehnt achtzehnt neunzehnt zwanzigst",
    "fr": "premier/premiere deuxieme troisieme quatrieme cinquieme sixieme septieme huitieme neuvieme dixieme",
    "es": "primero/primera/primer segundo/segunda tercero/tercera/tercer cuarto/cuarta quinto/quinta sexto/sexta "
    "septimo/septima octavo/octava noveno/novena decimo/decima",
    "pt": "primeiro/primeira segundo/segunda terceiro/terceira quarto/quarta quinto/quinta sexto/sexta "
    "setimo/setima oitavo/oitava nono/nona decimo/decima",
}
_GERMAN_ENDINGS = ("e", "en", "er", "es", "em")
# From 200 on.
_HUNDREDS = {
    "es": "doscient trescient cuatrocient quinient seiscient setecient ochocient novecient",
    "pt": "duzent trezent quatrocent quinhent seiscent setecent oitocent novecent",
}
_SCALES = {
    100: {"en": "hundred", "it": "cento", "de": "hundert", "fr": "cent/cents", "es": "cien/ciento", "pt": "cem/cento"},
    1000: {"en": "thousand", "it": "mille/mila", "de": "tausend", "fr": "mille", "es": "mil", "pt": "mil"},
    1_000_000: {
        "en": "million",
        "it": "milione/milioni",
        "de": "million/millionen",
        "fr": "million/millions",
        "es": "millon/millones",
        "pt": "milhao/milhoes",
    },
}

ONES: Mapping[str, frozenset[str]] = {
    "un": frozenset({"fr", "it", "es"}),
    "une": frozenset({"fr"}),
    "una": frozenset({"it", "es"}),
    "um": frozenset({"pt"}),
    "uma": frozenset({"pt"}),
    "ein": frozenset({"de"}),
}


def _small() -> Iterator[tuple[str, str, int]]:
    """Language, word and value of what is one simple word."""
    for table, first, step in ((_SMALL, 0, 1), (_TENS, 20, 10), (_HUNDREDS, 200, 100)):
        for language, words in table.items():
            for place, alternatives in enumerate(words.split()):
                for word in alternatives.split("/"):
                    for ending in ("os", "as") if table is _HUNDREDS else ("",):
                        yield language, word + ending, first + step * place
    for value, languages in _SCALES.items():
        for language, words in languages.items():
            yield from ((language, word, value) for word in words.split("/"))


def _ordinals() -> Iterator[tuple[str, int]]:
    for language, words in _ORDINALS.items():
        for place, alternatives in enumerate(words.split()):
            for word in alternatives.split("/"):
                for ending in _GERMAN_ENDINGS if language == "de" else ("",):
                    yield word + ending, 1 + place


def _two_digits() -> Iterator[tuple[str, str, int]]:
    """What is one word from 21 on: "ventisei", "sechsundzwanzig", "veintiséis"."""
    units = {language: words.split() for language, words in _SMALL.items()}
    tens = {language: words.split() for language, words in _TENS.items()}
    yield "es", "veintiun", 21
    for unit in range(1, 10):
        yield "es", "veinti" + units["es"][unit], 20 + unit
        for place, (italian, german) in enumerate(zip(tens["it"], tens["de"], strict=True)):
            value = 20 + 10 * place + unit
            yield "it", (italian[:-1] if unit in (1, 8) else italian) + units["it"][unit], value
            for word in units["de"][unit].split("/"):
                yield "de", ("ein" if unit == 1 else word) + "und" + german, value


VALUES: dict[str, int] = {}
LANGUAGES: dict[str, frozenset[str]] = {}  # cardinal number → the languages it is one in
for _language, _word, _value in (*_small(), *_two_digits()):
    if _word != "-":
        VALUES.setdefault(_word, _value)
        LANGUAGES[_word] = LANGUAGES.get(_word, frozenset()) | {_language}
for _word, _value in _ordinals():
    VALUES.setdefault(_word, _value)

# "zweihundertfünfzig", "duemilacinquecento": a word around its largest scale.
_COMPOUND = re.compile(r"(.*?)(tausend|mila|mille)(?:und)?(.*)|(.*?)(hundert|cento)(?:und)?(.*)")
_MAYBE_COMPOUND = re.compile("tausend|mila|mille|hundert|cento")
_COUNTED = {"tausend": 1000, "mila": 1000, "mille": 1000, "hundert": 100, "cento": 100}
_LONGEST = 60


def values_among(words: frozenset[str]) -> dict[str, int]:
    """The number words there are, with what they are worth."""
    values = {word: VALUES[word] for word in VALUES.keys() & words}
    if _MAYBE_COMPOUND.search(" ".join(words)):
        for word in words - values.keys():
            if (value := _worth(word)) is not None:
                values[word] = value
    return values


def _worth(word: str) -> int | None:
    """What a word is worth, with the German and Italian hundreds and thousands that are one word."""
    if word in VALUES:
        return VALUES[word]
    match = _COMPOUND.fullmatch(word) if len(word) <= _LONGEST else None
    if match is None:
        return None
    before, scale, behind = (part for part in match.groups() if part is not None)
    times = 1 if before in ("", "ein") else _worth(before)
    rest = _worth(behind) if behind else 0
    if rest is None and scale == "cento":  # "centottanta" has one "o" for both
        rest = _worth("o" + behind)
    return None if times is None or rest is None else times * _COUNTED[scale] + rest
