"""The language of --chain: every text gives a chain of gradtx, or a one-line error with a column."""

import functools
import re

import hypothesis
import pytest
from hypothesis import strategies as st

import gradtx as gx
from gradtx.race._chain import parse
from gradtx.race._errors import InputError
from tests.cases import CASES
from tests.helpers import trials

parse_chain = functools.partial(parse, kind=gx.Transformation)
parse_schedule = functools.partial(parse, kind=gx.schedules.Schedule)

NAMES = [name for module in (gx, gx.schedules) for name in dir(module) if name.islower() and name[0] != "_"]
REPRS = [repr(case.tx()) for case in CASES]


LITERAL = [case for case in CASES if not any(map(callable, case.arguments.values()))]  # a function has only a name


@pytest.mark.parametrize("case", LITERAL, ids=str)
def test_what_prints_parses_back(case):
    assert parse_chain(repr(case.tx())) == case.tx()


@pytest.mark.parametrize(
    "tx",
    [
        gx.by_parts(gx.adam(gx.tunable(0.1))),
        gx.named("body", gx.adamw(1e-3, mask=gx.matrices_only)),
        gx.named("it's", gx.adamw(1e-3, mask="*/kernel")),
        gx.adamw(1e-3, mask={"w": True, "b": [False, True]}),
        gx.sgd(cycle := gx.schedules.one_cycle(0.1, 100), momentum=cycle.momentum),
        gx.sgd(gx.schedules.join([gx.schedules.warmup(0.1, 5), 0.01], [20]), momentum=0.9, nesterov=True),
        gx.sgd(gx.schedules.reduce_on_plateau(gx.schedules.linear(1e-2, -1e-3, 10), mode="max")),
        gx.switch(gx.adam(1e-3), gx.chain(), at=gx.schedules.target(0.95, mode="max")),
        gx.layerwise_decay(0.8, ("w", "deep/*")),
    ],
    ids=repr,
)
def test_everything_that_is_literal_parses_back(tx):
    assert parse_chain(repr(tx)) == tx


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("chain(clip_by_global_norm(1.0), adamw(3e-4))", gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(3e-4))),
        ("gx.adam(gx.schedules.cosine_decay(1.0, 1_0))", gx.adam(gx.schedules.cosine_decay(1.0, 10))),
        ("gradtx.adam(schedules.linear(.1, 0., 7))", gx.adam(gx.schedules.linear(0.1, 0.0, 7))),
        (" \n( adam\t( 1E-3 , b1 = (0.8) , ) )", gx.adam(1e-3, b1=0.8)),
        ("scale_by_schedule(-0.5)", gx.scale_by_schedule(-0.5)),
        ("adam (\n1e-3,\n\tb1=0.8)\r\n", gx.adam(1e-3, b1=0.8)),
        ("adam(one_cycle(0.1, 9) . momentum)", gx.adam(gx.schedules.one_cycle(0.1, 9).momentum)),
        ("adam(1e-999)", gx.adam(0.0)),
    ],
)
def test_what_people_write(text, same):
    assert parse_chain(text) == same


def test_a_schedule():
    assert parse_schedule("gx.schedules.cosine_decay(1.0, 300)") == gx.schedules.cosine_decay(1.0, 300)
    with pytest.raises(InputError, match="column 1: expected a schedule, got tunable"):
        parse_schedule("tunable(0.1)")


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "found the end"),
        ("adm(1e-3)", 1, "unknown name 'adm'; did you mean adam"),
        ("chain(gx.adm(1e-3))", 7, "unknown name 'gx.adm'; did you mean adam"),
        ("gx.cosine_decay(1.0, 9)", 1, "unknown name 'gx.cosine_decay'; did you mean cosine_decay"),
        ("optax.adam(1e-3)", 1, "unknown name 'optax.adam'"),
        ("adam", 1, "expected a call of gradtx's functions with liter"),
        ("chain(adam)", 7, "expected a call of gradtx's functions with liter"),
        ("adam(1e-3", 5, "'(' was never closed"),
        ("adam(1e-3))", 11, "unmatched ')'"),
        ("adam(1e-3,,)", 11, "invalid syntax"),
        ("adam(1e-3) sgd(0.1)", 12, "invalid syntax"),
        ("chain(sgd(0.1), adam(1e-3, b1=1.0))", 17, "adam(...): adam: b1 must be in [0, 1), got 1.0"),
        ("adam(1e-3, beta1=0.9)", 12, "unknown argument of adam 'beta1'; did you mean b1"),
        ("adam(1e-3, b1=0.9, b1=0.8)", 20, "keyword argument repeated: b1"),
        ("adam(b1=0.9, 1e-3)", 18, "positional argument follows keyword argument"),
        ("adam()", 1, "adam(...): adam: the argument learning_rate is m"),
        ("adam(1, learning_rate=2)", 1, "adam(...): adam: learning_rate is given twice, b"),
        ("chain(transformations=1)", 1, "chain"),
        ("chain(1.0)", 1, "expected a gradient transformation"),
        ("sgd(adam(1e-3))", 1, "learning_rate must be"),
        ("1.0", 1, "expected a transformation, got 1.0"),
        ("tunable(1.0)", 1, "expected a transformation"),
        ("matrices_only", 1, "expected a transformation"),
        ("matrices_only('w', None)", 1, "expected a call of gradtx's functions with liter"),
        ("one_cycle(0.1, 100).momentum", 1, "expected a transformation"),
        ("adam(one_cycle(0.1, 100).momentom)", 26, "'momentom'; did you mean momentum"),
        ("adam(one_cycle(0.1, 100).__class__)", 26, "'__class__'"),
        ("adam(one_cycle(0.1, 100).cycle)", 26, "'cycle'"),
        ("adam(linear(0.1, 0.0, 9).momentum)", 26, "unknown attribute of 'linear(0.1, 0.0, 9)' 'mome"),
        ("adam.__globals__", 1, "unknown name"),
        ("adam(1e-3).init", 12, "unknown attribute of 'adam(0.001)' 'init'; known: "),
        ("().__class__", 1, "expected a call of gradtx's functions with liter"),
        ("''.join(['a'])", 1, "expected a call of gradtx's functions with liter"),
        ("__import__('os').system('true')", 1, "expected a call of gradtx's functions with liter"),
        ("adam(x := 1)", 6, "expected a call of gradtx's functions with liter"),
        ("lambda: adam(1)", 1, "expected a call of gradtx's functions with liter"),
        ("chain(adam(r) for r in (1, 2))", 6, "expected a call of gradtx's functions with liter"),
        ("adam(f'{1}')", 6, "expected a call of gradtx's functions with liter"),
        ("chain(*[adam(1e-3)])", 7, "expected a call of gradtx's functions with liter"),
        ("adam(1e-3 * 2)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(- -1)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(-b1)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(1 if True else 2)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(1j)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(1__0)", 7, "invalid decimal literal"),
        ("adam(1e999)", 6, "not a finite number"),
        (f"adam({'9' * 400})", 6, "99' is not a finite number"),
        (f"adam({'9' * 5000})", 1, "Exceeds the limit (4300 digits) for integer stri"),
        ("adam(inf)", 6, "unknown name 'inf'"),
        (r"named('\x', adam(1))", 11, "(unicode error) 'unicodeescape' codec can't deco"),
        ("named('\udcff', adam(1))", 8, "surrogates not allowed"),
        ("named('body, adam(1))", 7, "unterminated string literal (detected at line 1)"),
        ("adamw(1e-3, mask={1: True})", 18, "expected a call of gradtx's functions with liter"),
        ("adamw(1e-3, mask={'w' True})", 19, "invalid syntax. Perhaps you forgot a comma?"),
        ("adam(1e-3)\0", 1, "source code string cannot contain null bytes"),
        ("\N{CYRILLIC SMALL LETTER A}dam(1e-3)", 1, "unknown name 'аdam'; did you mean adam or radam "),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}dam(1e-3)", 1, "unknown name 'ａdam'; did you mean adam or radam "),
        ("adam(\N{ARABIC-INDIC DIGIT ONE})", 6, "U+0661"),
        ("adam(1, (b1=2))", 10, "invalid syntax. Maybe you meant '==' or ':=' ins"),
        ("adam((b1=0.5), 1)", 7, "invalid syntax. Maybe you meant '==' or ':=' ins"),
        ("adam(**{'learning_rate': 1})", 6, "unknown argument of adam '**'; known: learning_r"),
        ("adam(1, *[0.9])", 9, "expected a call of gradtx's functions with liter"),
        ("adam(b1=0.9, b1=0.8, 1)", 23, "positional argument follows keyword argument"),
        ("adam(b1=linear(0.1, eps=1), 1)", 30, "positional argument follows keyword argument"),
        ("adam(1, b1==2)", 9, "expected a call of gradtx's functions with liter"),
        ("adam(1=2)", 6, "expression cannot contain assignment, perhaps yo"),
        ("adam(1, b1|0.9)", 9, "expected a call of gradtx's functions with liter"),
        ("named('é', adm(1))", 12, "unknown name 'adm'"),
        ("named('日本', adam(1, b9=1))", 21, "unknown argument of adam 'b9'"),
        ("named('日本', adam(1),, 2)", 21, "invalid syntax"),
        ("named('a\nb', adam(1))", 7, "unterminated string literal (detected at line 1)"),
        ("named(b'a', adam(1))", 7, "expected a call of gradtx's functions with liter"),
        ("adam(1e-3,\n b1=2.0)", 1, "b1 must be in [0, 1)"),
        ("adam(1e-3,\n bb=0.9)", 13, "unknown argument of adam 'bb'"),
        ("adam(-True)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(-inf)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(nan)", 6, "unknown name 'nan'"),
        ("adam(-1e999)", 6, "'-1e999' is not a finite number"),
        ("adam(1+2j)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(0.1.2)", 6, "invalid syntax. Perhaps you forgot a comma?"),
        ("adam(...)", 6, "expected a call of gradtx's functions with liter"),
        ("adam(1) and sgd(1)", 1, "expected a call of gradtx's functions with liter"),
        ("adam(1)(2)", 1, "expected a call of gradtx's functions with liter"),
        ("[adam(1)][0]", 1, "expected a call of gradtx's functions with liter"),
        ("adam([r for r in 'a'])", 6, "expected a call of gradtx's functions with liter"),
        ("await adam(1)", 1, "'await' outside function"),
        ("{**{}}", 1, "expected a call of gradtx's functions with liter"),
        ("-" * 9_999 + "1", 1, ""),
        ("adam(1)" + "()" * 4_990, 1, "nested too deep"),
        ("adam(1)" + "[0]" * 3_000, 1, "nested too deep"),
        ("adam(1) < " * 900 + "1", 1, "expected a call of gradtx's functions with liter"),
        ("a" * 10_000, 1, "unknown name"),
        ("1_" * 5_000, 10000, "invalid decimal literal"),
        ("'" * 9_999, 9997, "unterminated triple-quoted string literal (detec"),
        ("(" * 5000 + ")" * 5000, 201, "too many nested parentheses"),
        ("by_parts(" * 1000, 1809, "too many nested parentheses"),
        ("[" * 40, 40, "'[' was never closed"),
    ],
)
def test_anything_else_is_refused_at_its_place(text, column, words):
    with pytest.raises(InputError) as found:
        parse_chain(text)
    line = found.value.line()
    assert f", column {column}: " in line
    assert words in line
    assert len(line) < 1000


def test_a_long_text_is_refused():
    with pytest.raises(InputError, match="has 10001 characters; at most 10000"):
        parse_chain("chain(" + " " * 9994 + ")")


def only_input_errors(text):
    try:
        found = parse_chain(text)
    except InputError as error:
        found = error.line()
    assert isinstance(found, gx.Transformation) or (re.search(r", column \d+: ", found) and found.isprintable())


FUZZ = trials(300)
WORDS = ["adam", "chain", "gx.sgd", "linear", "join", "switch", "tunable", "named", "one_cycle", "cosine_restarts"]
WORDS += ["plateau", "matrices_only", "None", "True", "layerwise_decay", "mask=", "learning_rate=", "depth=", "name="]
WORDS += [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    ".",
    "-",
    "0",
    "1",
    "-1.5",
    "1e308",
    "3.",
    "'a'",
    "' '",
    ".momentum",
]


@FUZZ
@hypothesis.given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map("".join)))
def test_no_text_has_another_end(text):
    only_input_errors(text)


@FUZZ
@hypothesis.given(st.sampled_from(REPRS), st.data())
def test_nor_has_a_chain_that_was_tampered_with(text, data):
    for _ in range(data.draw(st.integers(1, 3))):
        start, end = sorted(data.draw(st.tuples(*2 * [st.integers(0, len(text))])))
        text = text[:start] + data.draw(st.sampled_from([*WORDS, *REPRS, "*", "é"])) + text[min(end, start + 6) :]
    only_input_errors(text)


class Code(str):
    __repr__ = str.__str__


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3),
        st.sampled_from(["linear(0.1, 0.0, 9)", "adam(0.1)", "tunable(0.1)", "plateau()", "matrices_only"]).map(Code),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip


@FUZZ
@hypothesis.given(st.sampled_from(sorted(NAMES)), st.lists(ANYTHING, max_size=5))
def test_nor_has_a_call_with_any_literals(name, arguments):
    only_input_errors(f"{name}({', '.join(map(repr, arguments))})")
