"""Registries: nothing is imported to list them; a wrong name or parameter is put right."""

import sys
from dataclasses import dataclass

import pytest

from medseg.registry import Registry, build, pick

FILTERS: Registry[type] = Registry(
    "filter",
    {
        "fraction": ("fractions:Fraction", "a rational number"),
        "wave": ("wave:Wave_read", "a reader of sound"),
        "broken": ("no_such_module:Thing", "what can't be imported"),
    },
)


@dataclass(frozen=True)
class Threshold:
    """A class to build."""

    level: float
    classes: int = 2

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ValueError(f"a threshold makes 2 classes or more, got {self.classes}")


def test_an_entry_is_what_the_module_has() -> None:
    from fractions import Fraction

    assert FILTERS["fraction"] is Fraction
    assert FILTERS.pick("fraction") is Fraction


def test_listing_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    assert list(FILTERS) == ["fraction", "wave", "broken"]
    assert len(FILTERS) == 3
    assert "wave" in FILTERS
    assert "other" not in FILTERS
    assert FILTERS.summary("wave") == "a reader of sound"
    assert "wave" not in sys.modules


def test_a_module_that_is_missing_is_our_fault_and_said_so() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        FILTERS.pick("broken")


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="no filter is called 'fractoin'; did you mean 'fraction'"):
        FILTERS.pick("fractoin")


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(ValueError, match="there are fraction, wave, broken"):
        FILTERS.pick("zzz")


def test_any_mapping_can_be_picked_from() -> None:
    assert pick({"a": 1}, "a", "letter") == 1
    with pytest.raises(ValueError, match="no letter is called 'b'; there are a"):
        pick({"a": 1}, "b", "letter")


def test_parameters_are_the_fields() -> None:
    assert build(Threshold, {"level": 0.5, "classes": 3}, "threshold") == Threshold(0.5, 3)


def test_a_misspelt_parameter_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="threshold has no parameter lvel; did you mean 'level'"):
        build(Threshold, {"lvel": 0.5}, "threshold")


def test_a_parameter_like_no_other_gets_the_list() -> None:
    with pytest.raises(ValueError, match="no parameter zzz; it has level, classes"):
        build(Threshold, {"zzz": 1}, "threshold")


def test_a_parameter_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"threshold can't be built from \{\}.*'level'"):
        build(Threshold, {}, "threshold")


def test_a_value_of_the_wrong_kind_is_said_with_what_came() -> None:
    with pytest.raises(ValueError, match=r"threshold can't be built from .*'three'"):
        build(Threshold, {"level": 0.5, "classes": "three"}, "threshold")


def test_what_the_class_refuses_is_said_in_its_words() -> None:
    with pytest.raises(ValueError, match=r"^a threshold makes 2 classes or more, got 1$"):
        build(Threshold, {"level": 0.5, "classes": 1}, "threshold")
