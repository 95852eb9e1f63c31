"""Values as YAML makes them: what each key takes, what it becomes, what it refuses."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.config import validators
from edgeconnect.config.sections import known_keys

NONSENSE = [None, "", "x", [], [1], {}, {"a": 1}]
NOT_FINITE = [math.nan, math.inf, -math.inf, "nan", "inf", "-inf", ".inf", 10**400, "1e999"]


def short(value):
    return repr(value)[:20]


def refused(parser, value, match="^is n"):
    with pytest.raises(ValueError, match=match):
        parser(value)


# Numbers


@pytest.mark.parametrize(
    ("value", "number"),
    [("1e-4", 1e-4), ("2e6", 2e6), (1, 1.0), (0.5, 0.5), ("0.5", 0.5), (" 3 ", 3.0), (-2, -2.0), ("+1.5", 1.5)],
)
def test_real_takes_numbers_and_what_yaml_takes_for_strings(value, number):
    parsed = validators.real()(value)
    assert parsed == number
    assert type(parsed) is float


@pytest.mark.parametrize("value", [True, False, *NONSENSE, *NOT_FINITE, "1,5", "1e", "0x10"], ids=short)
def test_real_refuses_what_is_no_finite_number(value):
    refused(validators.real(), value, "is no number")


@pytest.mark.parametrize(
    ("low", "high", "bad", "bounds"),
    [(0, 1, 1.001, "from 0 to 1"), (0, 1, -1e-9, "from 0 to 1"), (2, math.inf, 1.9, "of 2 or more")],
)
def test_real_names_its_bounds(low, high, bad, bounds):
    refused(validators.real(low, high), bad, f"is no number {bounds}$")


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_real_keeps_every_number_and_its_spelling(number):
    assert validators.real()(number) == number
    assert validators.real()(repr(number)) == number
    assert validators.real()(yaml.safe_load(yaml.safe_dump(number))) == number


@settings(deadline=None)
@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10))
def test_real_takes_exactly_what_lies_in_its_bounds(number, one, other):
    low, high = sorted((one, other))
    if low <= number <= high:
        assert validators.real(low, high)(number) == number
    else:
        refused(validators.real(low, high), number)


@pytest.mark.parametrize(("value", "number"), [("2e6", 2_000_000), (2e6, 2_000_000), ("7", 7), (0, 0), (3.0, 3)])
def test_whole_takes_whole_numbers_however_they_are_written(value, number):
    parsed = validators.whole(0)(value)
    assert parsed == number
    assert type(parsed) is int


@pytest.mark.parametrize("value", [True, False, 1.5, "1.5", "1e-4", -1, *NONSENSE, *NOT_FINITE], ids=short)
def test_whole_refuses_everything_else(value):
    refused(validators.whole(0), value, "is no whole number of 0 or more$")


def test_whole_names_both_bounds():
    refused(validators.whole(0, 254), 255, "is no whole number from 0 to 254$")


@settings(deadline=None)
@given(st.integers(0, 2**53))
def test_whole_keeps_every_integer(number):
    assert validators.whole(0)(number) == validators.whole(0)(str(number)) == number


FIELDS = known_keys()
NUMBERS = [name for name, field in FIELDS.items() if type(field.default) in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_an_upper_limit(name):
    refused(FIELDS[name].metadata["parser"], 1e18)


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        *(("INPUT_SIZE", 16_384), ("BATCH_SIZE", 65_536), ("RESIDUAL_BLOCKS", 1000), ("BASE_CHANNELS", 4096)),
        *(("NUM_WORKERS", 1024), ("SIGMA", 100), ("MAX_ITERS", 10**10)),
    ],
)
def test_limits_are_above_what_anybody_needs(name, largest):
    assert FIELDS[name].metadata["parser"](largest) == largest
    refused(FIELDS[name].metadata["parser"], largest + 1, f"from -?[0-9]+ to {largest}$")


@pytest.mark.parametrize(("value", "scale"), [(0, 0.0), (-1, -1.0), ("-1", -1.0), (0.3, 0.3), (2, 2.0), ("1e1", 10.0)])
def test_sigma_takes_scales_0_and_minus_1(value, scale):
    assert validators.sigma(value) == scale


@pytest.mark.parametrize("value", [-0.5, -1.5, -2, True, *NONSENSE, *NOT_FINITE], ids=short)
def test_sigma_refuses_everything_else(value):
    refused(validators.sigma, value)


# Names

KINDS = validators.numbered({1: "block", 2: "half_way"}, "all")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "block"),
        ("2", "half_way"),
        ("Block", "block"),
        (" HALF-WAY ", "half_way"),
        ("half_way", "half_way"),
        ("ALL", "all"),
    ],
)
def test_numbered_takes_numbers_and_names_in_any_spelling(value, name):
    assert KINDS(value) == name


@pytest.mark.parametrize("value", [0, 3, "0", "03", -1, True, 1.0, "²", "blocks", *NONSENSE], ids=short)
def test_numbered_refuses_everything_else_and_lists_what_there_is(value):
    refused(KINDS, value, "^is none of: 1 block, 2 half_way, all$")


@settings(deadline=None)
@given(st.text())
def test_numbered_takes_no_other_text(value):
    known = {"1": "block", "block": "block", "2": "half_way", "half_way": "half_way", "all": "all"}
    spelled = value.strip().lower().replace("-", "_")
    if spelled in known:
        assert KINDS(value) == known[spelled]
    elif not (spelled.isdecimal() and int(spelled) in (1, 2)):
        refused(KINDS, value, "^is none of: 1 block, 2 half_way, all$")


def test_one_of_takes_its_names_alone():
    parser = validators.one_of("auto", "fp32")
    assert [parser(value) for value in ("auto", "FP32", " Auto ")] == ["auto", "fp32", "auto"]
    for value in (0, 1, "fp", *NONSENSE):
        refused(parser, value, "^is none of: auto, fp32$")


@pytest.mark.parametrize("value", [1, True, "1", "true", "Yes", "ON", " on "], ids=short)
def test_switch_is_on(value):
    assert validators.switch(value) is True


@pytest.mark.parametrize("value", [0, False, "0", "false", "No", "OFF"], ids=short)
def test_switch_is_off(value):
    assert validators.switch(value) is False


@pytest.mark.parametrize("value", [2, -1, 0.5, 1.0, "y", *NONSENSE], ids=short)
def test_switch_is_neither(value):
    refused(validators.switch, value, "^is neither 0 nor 1$")


@pytest.mark.parametrize(
    ("value", "path"), [(None, ""), ("", ""), (" a b#c ", "a b#c"), ("~/x", "~/x"), (2017, "2017")]
)
def test_text_takes_paths_and_nothing(value, path):
    assert validators.text(value) == path


@pytest.mark.parametrize("value", [[], ["a"], {}], ids=short)
def test_text_refuses_what_is_no_path(value):
    refused(validators.text, value, "^is no path$")


@pytest.mark.parametrize(
    ("value", "name"),
    [("auto", "auto"), ("CPU", "cpu"), ("cuda", "cuda"), (" cuda:1 ", "cuda:1"), ("cuda:12", "cuda:12")],
)
def test_device_takes_the_processor_and_gpus(value, name):
    assert validators.device(value) == name


@pytest.mark.parametrize("value", ["gpu", "cuda:", "cuda:-1", "cuda:a", "cuda1", "mps", 0, *NONSENSE], ids=short)
def test_device_refuses_everything_else(value):
    refused(validators.device, value, "^is none of: auto, cpu, cuda, cuda:N$")


# Lists


@pytest.mark.parametrize(
    "value",
    [[0.2, 0.4], (0.2, 0.4), "0.2-0.4", "0.2 0.4", "0.2, 0.4", "[0.2, 0.4]", "(0.2;0.4)", ["0.2", "4e-1"]],
    ids=short,
)
def test_span_takes_two_ratios_however_they_are_written(value):
    assert validators.span(value) == (0.2, 0.4)


def test_span_takes_a_single_ratio_twice():
    assert validators.span("0.25-0.25") == (0.25, 0.25)


@pytest.mark.parametrize(
    "value",
    [
        [0.4, 0.2],
        [0, 0.5],
        [0.5, 1],
        [-0.1, 0.5],
        [0.2],
        [0.1, 0.2, 0.3],
        [math.nan, 0.5],
        [0.1, math.nan],
        "0.2",
        0.2,
        *NONSENSE,
    ],
    ids=short,
)
def test_span_refuses_everything_else(value):
    refused(validators.span, value, "is no range")


@settings(deadline=None)
@given(st.floats(0.001, 0.999).map(lambda x: round(x, 4)), st.floats(0.001, 0.999).map(lambda x: round(x, 4)))
def test_span_keeps_every_range(one, other):
    low, high = sorted((one, other))
    assert validators.span([low, high]) == validators.span(f"{low:f}-{high:f}") == (low, high)


@pytest.mark.parametrize(
    ("value", "numbers"),
    [([0], (0,)), (0, (0,)), ("0", (0,)), ("0,1", (0, 1)), ([0, 2], (0, 2)), ("[1, 3]", (1, 3)), ([], ()), ("", ())],
)
def test_gpus_takes_numbers_however_they_are_written(value, numbers):
    assert validators.gpus(value) == numbers


@pytest.mark.parametrize(
    "value", ["a", "0;1", None, 1.5, [1.5], [math.inf], True, [True], -1, [-1], "0,-1", {"a": 1}], ids=short
)
def test_gpus_refuses_what_is_no_list_of_gpu_numbers(value):
    refused(validators.gpus, value, "is no list of GPU numbers")
