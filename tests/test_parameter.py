"""Parameters say what they may be, in listings and errors, and where a search looks."""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from medseg import METHODS
from medseg.parameter import Interval, parameter, parameters, require_legal


@dataclass(frozen=True)
class Example:
    """One parameter of each kind."""

    radius: float = parameter(2.0, "(0, inf)", usual=(0.5, 8), log=True, unit="mm")
    share: float = parameter(0.5, "[0, 1)", usual=(0, 0.9))
    classes: int = parameter(2, "[2, 10]", usual=(2, 5))
    octaves: int = parameter(1, "[1, inf)", usual=(1, 7), log=True)
    low: float | None = parameter(None, usual=(-100, 100))
    kind: Literal["inner", "outer"] = "inner"
    thick: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"radius": 0}, r"^radius is a number above 0, got 0$"),
        ({"radius": np.inf}, "above 0, got inf"),
        ({"radius": np.nan}, "above 0, got nan"),
        ({"share": 1}, "share is a number of at least 0 and below 1, got 1"),
        ({"share": -0.1}, "got -0.1"),
        ({"classes": 11}, "classes is a whole number of at least 2 and at most 10, got 11"),
        ({"low": np.inf}, "low is a number that is finite, got inf"),
        ({"kind": "between"}, "kind is 'inner' or 'outer', got 'between'"),
    ],
)
def test_an_illegal_value_is_refused_with_what_would_be_legal(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Example(**fields)


@pytest.mark.parametrize("fields", [{"classes": 2.5}, {"radius": "wide"}, {"share": None}])
def test_what_is_no_such_number_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"is a (whole )?number, got"):
        Example(**fields)


def test_ends_belong_to_an_interval_or_not() -> None:
    Example(share=0, classes=np.int64(10), low=None, kind="outer", radius=np.float32(1e-3))
    interval = Interval.parse("[0, 1)")
    assert (0 in interval, 1 in interval, str(interval)) == (True, False, "[0, 1)")
    assert str(Interval.parse("(-inf, 2.5]")) == "(-inf, 2.5]"


@pytest.mark.parametrize("text", ["0, 1", "[1, 0]", "{0, 1}"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"interval is written like \[0, 1\)|could not convert"):
        Interval.parse(text)


@pytest.mark.parametrize(
    ("legal", "options", "message"),
    [
        ("(0, 1)", {"usual": (0, 0.5)}, "lies in the legal one"),
        ("(0, 9)", {"usual": (5, 4)}, "lies in the legal one"),
        ("[0, 1]", {"usual": (0, 1), "log": True}, "only in a usual range above 0"),
        ("(0, 1)", {"log": True}, "only in a usual range above 0"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(
    legal: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parameter(0.5, legal, **options)


def test_a_search_covers_the_usual_range_evenly() -> None:
    known = parameters(Example)
    shares = (np.arange(1000) + 0.5) / 1000
    values = [known["share"].at(share) for share in shares]
    assert min(values) == pytest.approx(0, abs=1e-3)
    assert np.median(values) == pytest.approx(0.45, abs=1e-3)
    assert np.median([known["radius"].at(share) for share in shares]) == pytest.approx(2, 0.01)
    classes, counts = np.unique([known["classes"].at(x) for x in shares], return_counts=True)
    assert classes.tolist() == [2, 3, 4, 5]
    assert counts.tolist() == [250] * 4
    octaves = [known["octaves"].at(share) for share in shares]
    # log 8 is three doublings: 1, 2 to 3, 4 to 7.
    assert np.histogram(octaves, [1, 2, 4, 8])[0] == pytest.approx(1000 / 3, abs=1)
    assert {known["kind"].at(share) for share in shares} == {"inner", "outer"}
    assert {known["thick"].at(share) for share in shares} == {False, True}


@pytest.mark.parametrize("name", ["radius", "share", "classes", "octaves", "low", "kind"])
def test_all_values_of_a_search_are_legal(name: str) -> None:
    for share in (0.0, 0.3, 0.999999, 1 - 2**-53):
        Example(**{name: parameters(Example)[name].at(share)})


def test_what_has_no_usual_range_is_not_searched() -> None:
    device = parameters(Example)["device"]
    assert not device.searchable
    with pytest.raises(ValueError, match="device has no usual range"):
        device.at(0.5)


def test_a_parameter_tells_a_program_all_it_knows() -> None:
    known = parameters(Example)
    assert list(known) == [
        "radius", "share", "classes", "octaves", "low", "kind", "thick", "device",
    ]  # fmt: skip
    assert known["radius"].to_json() == {
        "kind": "float",
        "default": 2.0,
        "legal": "(0, inf)",
        "usual": [0.5, 8],
        "log": True,
        "unit": "mm",
    }
    assert known["kind"].to_json() == {
        "kind": "str", "default": "inner", "choices": ["inner", "outer"],
    }  # fmt: skip


WITHOUT_DEFAULTS = {"hysteresis", "neighbourhood-connected"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_legal_defaults_and_ranges_that_can_be_listed(name: str) -> None:
    for known in parameters(METHODS[name]).values():
        json.dumps(known.to_json(), allow_nan=False)
        if known.searchable and name not in WITHOUT_DEFAULTS:
            METHODS[name](**{known.name: known.at(0.5)})
