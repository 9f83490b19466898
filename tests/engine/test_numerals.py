"""Numbers: the same one, however it is said or written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.engine.number_words import VALUES, values_among
from voicebot.engine.numerals import BREAK, TURN, digits, fold, in_groups, is_number, read_numbers, repeated


def read(text: str) -> list[str]:
    found = re.findall(r"\d+(?:[.,:]\d+)*|[^\W\d_]+|[.,;?!\n]", fold(text))
    return read_numbers(repeated([BREAK if word in ".,;?!" else word for word in found]))


SAME = {
    "26 50": "twenty-six fifty | ventisei e cinquanta | vinte e seis e cinquenta | 26 50",
    "26.50": "26.50 | 26,50 | 26 point 50 | 26 Komma 50 | veintiséis con cincuenta | vingt-six virgule cinquante",
    "26.50 euro": "26 euro 50 | sechsundzwanzig Euro fünfzig | ventisei euro e cinquanta",
    "26.50 euros cents": "26 euros and fifty cents | twenty-six euros 50 cents",
    "0 0 1 5 3": "zero zero one five three | null null eins fünf drei | zero zero uno cinque tre | 0, 0, 1, 5, 3",
    "00153": "00153",
    "7.30": "half past seven | halb acht | sette e mezza | siete y media | sept et demie | sete e meia | 7:30",
    "7.30 uhr": "7 Uhr 30 | sieben Uhr dreißig | 7:30 Uhr",
    "1.30": "half past one | halb zwei | una e mezza | una y media | uma e meia",
    "7.45": "quarter to eight | Viertel vor acht | otto meno un quarto | ocho menos cuarto | huit moins le quart",
    "8.15": "quarter past eight | Viertel nach acht | otto e un quarto | ocho y cuarto | huit et quart",
    "9.10": "ten past nine | zehn nach neun",
    "12.30": "half past twelve | halb eins",
    "12.45": "quarter to one | Viertel vor eins",
    "2.5": "two and a half | due e mezzo | dos y medio | deux et demi | 2,5",
    "5 5 0 1": "double five oh one | doppio cinque zero uno | fünf fünf null eins",
    "0 1 0 0 1 4 2": "oh one oh, oh one four two",
    "9 6 2": "nove meia dois",
    "1 2 3": "um dois três | un deux trois | uno dos tres | eins zwei drei",
    "250": "two hundred and fifty | zweihundertfünfzig | duecentocinquanta | doscientos cincuenta",
    "10000": "ten thousand | zehntausend | diecimila | dieci mila | dix mille | diez mil | dez mil | 10,000 | 10.000",
    "1500": "fifteen hundred | mil quinientos | mil e quinhentos | millecinquecento | eintausendfünfhundert | 1.500,00",
    "2500006": "two million five hundred thousand and six",
    "77": "soixante-dix-sept | seventy-seven | siebenundsiebzig | sieben und siebzig | settantasette",
    "91": "quatre-vingt-onze | noventa y uno | noventa e um | nonante et un | einundneunzig",
    "80": "quatre-vingts | huitante | achtzig",
    "21": "vingt et un | twenty-first | veintiuno | vinte e um | ventuno",
    "1980": "neunzehnhundertachtzig | mille neuf cent quatre-vingt | millenovecentottanta",
    "333 12 12": "trecentotrentatré dodici dodici",
    "3": "third | terzo | dritten | troisième | tercero | terceira",
    "200": "deux cents | zweihundert",
    "555 010 0142": "555, 010, 0142 | 555.010.0142",
    "2 3": "two\nthree | two and three",
    "50 cents": "fifty cents",
    "2 euros and 3 coffees": "two euros and three coffees",
    "una pizza": "una pizza",
    "um 8": "um acht",
}


@pytest.mark.parametrize(
    ("number", "said"), [(number, one) for number, said in SAME.items() for one in said.split(" | ")]
)
def test_number_is_read_in_its_one_form(number: str, said: str) -> None:
    assert " ".join(read(said)) == number


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sesenta", "setenta"),
        ("sixteen", "sixty"),
        ("two thousand six hundred and fifty", "twenty-six fifteen"),
        ("zero zero one five three", "zero one five three"),
        ("twelve oh five", "twelve fifty"),
        ("half past seven", "half past eight"),
        ("quatre-vingt-onze", "quatre-vingt-un"),
        ("dreizehn", "dreißig"),
    ],
)
def test_other_numbers_stay_others(one: str, other: str) -> None:
    assert digits(read(one)[0]) != digits(read(other)[0])


def test_words_without_numbers_are_left_alone() -> None:
    assert read("I would like the pizza, please") == ["i", "would", "like", "the", "pizza", BREAK, "please"]


def test_words_of_two_languages_are_worth_the_same() -> None:
    assert VALUES["six"] == 6 and VALUES["quinze"] == 15 and VALUES["mille"] == 1000
    assert values_among(frozenset({"neunhundertneunundneunzigtausend"})) == {
        "neunhundertneunundneunzigtausend": 999_000
    }


ENGLISH = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
UNITS = [*ENGLISH.split(), "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def english(number: int) -> str:
    if number < 20:
        return UNITS[number]
    if number < 100:
        return TENS[number // 10] + (f" {UNITS[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{UNITS[number // 100]} hundred" + (f" and {english(number % 100)}" if number % 100 else "")
    return f"{english(number // 1000)} thousand" + (f" {english(number % 1000)}" if number % 1000 else "")


@given(st.integers(0, 999_999))
def test_every_number_is_read_as_it_is_counted(number: int) -> None:
    assert read(english(number)) == [str(number)]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12))
def test_digits_are_kept_one_by_one(said: list[int]) -> None:
    assert digits(read(" ".join(UNITS[digit] for digit in said))[0]) == "".join(map(str, said))


@given(
    st.lists(
        st.one_of(st.sampled_from([*VALUES, "and", "und", "e", "half", "past", BREAK, TURN, "euro"]), st.just("7"))
    )
)
def test_any_words_are_read(words: list[str]) -> None:
    assert all(token for token in read_numbers(words))
    assert {token for token in read_numbers(words) if not is_number(token)} <= {*words, "quart"}


def test_groups_leave_the_words_as_they_are() -> None:
    assert in_groups(["Rossi", "pays", "26.50", "or", "Twenty", "six", "fifty"]) == [
        *("Rossi", "pays", "26", "50", "or", "26", "50")
    ]
