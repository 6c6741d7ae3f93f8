"""Chains: what they do is what their parts do one after the other; they are parsed and saved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from balls import ball_plan, draw_ball

from medseg import METHODS, Image, Labels, Segmenter, method, orientation, reorient
from medseg.chain import Chain
from medseg.cleanup import CLEANUPS, cleanup_called
from medseg.crf import REFINEMENTS, DenseCRF, Refined
from medseg.filters import FILTERS, filter_called


class Recorded:
    """A segmenter without tensors, which keeps what it was given."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.given: tuple[Any, ...] = ()

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Labels that were given beforehand."""
        self.given = (image, seeds, mask)
        return Labels(self.array, image.grid)


def test_names_are_those_of_one_part_only() -> None:
    names = [*FILTERS, *METHODS, *REFINEMENTS, *CLEANUPS]
    assert len(set(names)) == len(names)
    assert not any("+" in name or "." in name for name in names)


def test_a_chain_does_what_its_parts_do_one_after_the_other() -> None:
    image, _ = draw_ball(0)
    chain = Chain.parse("gaussian+otsu+fill-holes+keep-largest", {"classes": 3})
    assert isinstance(chain, Segmenter)
    smooth = filter_called("gaussian")(image)
    labels = method("otsu", classes=3).segment(smooth)
    wanted = cleanup_called("keep-largest")(cleanup_called("fill-holes")(labels))
    found = chain.segment(image)
    assert found.grid is image.grid
    np.testing.assert_array_equal(found.array, wanted.array)
    assert (found.array != method("otsu", classes=3).segment(image).array).any()


def test_seeds_and_mask_go_to_the_method_and_outside_the_mask_is_0() -> None:
    image, ball = draw_ball(0)
    seeds = np.where(ball.array == 2, 4, 0).astype(np.int8)
    seeds[0] = -1
    mask = np.ones(image.grid.shape, np.uint8)
    mask[:, :, 7:] = 0
    known, inside = Labels(seeds, image.grid, {4: "core"}), Labels(mask, image.grid)
    found = Chain.parse("region-growing+close", {"close.radius": 3}).segment(image, known, inside)
    assert found.names == {4: "core"}
    assert found.values() == (4,)
    assert not found.array[mask == 0].any()
    with pytest.raises(ValueError, match="region-growing needs seeds"):
        Chain.parse("region-growing+close").segment(image)


def test_filters_look_inside_the_mask_only() -> None:
    image, _ = draw_ball(0)
    mask = np.ones(image.grid.shape, np.uint8)
    mask[:4] = 0
    outside = np.where(mask == 0, 1e4, image.array)
    inside = Labels(mask, image.grid)
    chain = Chain.parse("clip+normalise+otsu", {"classes": 3, "clip.high": 60})
    first, second = (
        chain.segment(each, mask=inside).array for each in (image, image.on(outside, image.grid))
    )
    np.testing.assert_array_equal(first, second)


def test_cleanups_do_not_see_what_lies_outside_the_mask() -> None:
    array = np.zeros((1, 8, 12), np.float32)
    array[0, :, 5:], array[0, 2:4, 1:3] = 9, 9
    image = Image.from_array(array, (1, 1))
    mask = Labels((np.indices((8, 12))[1] < 5).astype(np.uint8), image.grid)
    found = Chain.parse("otsu+keep-largest").segment(image, mask=mask)
    np.testing.assert_array_equal(found.array, (array[0] > 0) & (mask.array == 1))


def test_the_way_of_storing_changes_nothing_in_the_world() -> None:
    image, _ = draw_ball(1)
    chain = Chain.parse("median+otsu+keep-largest")
    wanted = chain.segment(image)
    found = chain.segment(reorient(image, "PIR"))
    assert orientation(found.grid) == "PIR"
    np.testing.assert_array_equal(reorient(found).array, wanted.array)


def test_a_segmenter_without_tensors_gets_the_filtered_image() -> None:
    image, ball = draw_ball(0)
    holed = ball.array.copy()
    holed[8, 7, 6] = 0
    mask = Labels((np.indices(image.grid.shape)[0] > 3).astype(np.uint8), image.grid)
    inner = Recorded(holed)
    chain = Chain(inner, (filter_called("normalise"),), (cleanup_called("fill-holes"),))
    found = chain.segment(image, ball, mask)
    np.testing.assert_array_equal(
        inner.given[0].array, filter_called("normalise")(image, mask).array
    )
    assert inner.given[1:] == (ball, mask)
    np.testing.assert_array_equal(found.array, np.where(mask.array == 0, 0, ball.array))


def test_a_trained_model_is_a_method_like_any_other() -> None:
    from medseg import Model

    image, _ = draw_ball(0)
    model = Model.untrained(ball_plan(), "cpu")
    found = Chain(model, cleanups=(cleanup_called("keep-largest"),)).segment(image)
    wanted = cleanup_called("keep-largest")(model.segment(image))
    np.testing.assert_array_equal(found.array, wanted.array)


def test_a_crf_behind_a_method_sees_the_filtered_image_and_cleanups_what_it_made() -> None:
    image, _ = draw_ball(0)
    given = {"classes": 3, "crf.smooth_mm": 1.5, "crf.intensity": 0.5}
    chain = Chain.parse("invert+gaussian-mixture+crf+keep-largest", given, "cpu")
    mixture = method("gaussian-mixture", classes=3, device="cpu")
    crf = DenseCRF(smooth_mm=1.5, intensity=0.5, device="cpu")
    assert chain.method == Refined(mixture, crf)
    inverted = filter_called("invert")(image)
    before = mixture.probabilities(inverted)  # type: ignore[attr-defined]
    wanted = crf.refine(before, inverted)
    np.testing.assert_array_equal(chain.probabilities(image).array, wanted.array)
    labels = Labels(wanted.array.argmax(0), image.grid)
    found = chain.segment(image)
    np.testing.assert_array_equal(found.array, cleanup_called("keep-largest")(labels).array)
    assert (found.array != before.array.argmax(0)).any()


def test_seeds_stay_what_they_are_behind_a_crf() -> None:
    image, _ = draw_ball(0)
    seeds = np.zeros(image.grid.shape, np.int8)
    seeds[8, 7, 4:8], seeds[0], seeds[2, 2, 2] = 5, -1, 5  # the last one in the background
    known = Labels(seeds, image.grid, {5: "core"})
    chain = Chain.parse("random-walker+crf", {"crf.smooth_weight": 30}, "cpu")
    found = chain.segment(image, known)
    assert found.names == {5: "core"}
    np.testing.assert_array_equal(found.array[seeds == 5], 5)
    np.testing.assert_array_equal(found.array[seeds == -1], 0)


def test_probabilities_of_a_chain_are_those_of_its_method() -> None:
    image, _ = draw_ball(0)
    mask = Labels((np.indices(image.grid.shape)[0] > 3).astype(np.uint8), image.grid)
    found = Chain.parse("normalise+gaussian-mixture+open").probabilities(image, mask=mask)
    inner = method("gaussian-mixture")
    wanted = inner.probabilities(filter_called("normalise")(image, mask), mask=mask)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.array, wanted.array)
    with pytest.raises(ValueError, match="Otsu gives labels, and no probabilities"):
        Chain.parse("otsu").probabilities(image)


# By name


def test_parameters_are_of_the_method_or_of_who_is_named() -> None:
    parameters = {"classes": 3, "otsu.bins": 64, "n4.shrink": 2, "keep-largest.of": "all"}
    chain = Chain.parse("n4 + otsu+keep-largest", parameters, "cpu")
    assert chain == Chain(
        method("otsu", classes=3, bins=64, device="cpu"),
        (filter_called("n4", shrink=2, device="cpu"),),
        (cleanup_called("keep-largest", of="all", device="cpu"),),
        "cpu",
    )


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("otso", {}, "is called 'otso'; did you mean 'otsu'"),
        ("otsu+keep-larges", {}, "did you mean 'keep-largest'"),
        ("", {}, "is called ''"),
        ("otsu+otsu", {}, "one method, .*otsu.otsu .method, method"),
        ("n4+keep-largest", {}, "got n4.keep-largest .filter, clean-up"),
        ("otsu+n4", {}, "got otsu.n4 .method, filter"),
        ("keep-largest+otsu", {}, "got keep-largest.otsu .clean-up, method"),
        ("crf+gaussian-mixture", {}, "got crf.gaussian-mixture .refinement, method"),
        ("gaussian-mixture+open+crf", {}, "crf .method, clean-up, refinement"),
        ("gaussian-mixture+crf+crf", {}, "crf .method, refinement, refinement"),
        ("gaussian-mixture+crf", {"crf.smoth_mm": 3}, "did you mean 'smooth_mm'"),
        ("otsu+crf", {}, "a CRF refines probabilities, and Otsu gives none; take one that does"),
        ("otsu", {"otsu.clases": 3}, "otsu has no parameter clases; did you mean 'classes'"),
        ("otsu", {"n4.shrink": 3}, "otsu has no parameter n4.shrink"),
        ("otsu", {"name": "otsu"}, "otsu has no parameter name"),
    ],
)
def test_what_is_no_chain_is_refused(
    text: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Chain.parse(text, parameters)


def test_models_are_asked_for_names_that_no_part_has() -> None:
    inner, asked = Recorded(np.zeros((2, 2), np.uint8)), []

    def models(name: str, parameters: object) -> Segmenter | None:
        asked.append((name, parameters))
        return inner if name == "runs/a" else None

    chain = Chain.parse("n4+runs/a+open", {"overlap": 0.25}, models=models)
    assert chain.method is inner
    assert asked == [("runs/a", {"overlap": 0.25})]
    with pytest.raises(ValueError, match="is called 'runs/b'"):
        Chain.parse("runs/b", models=models)


# As a file


def test_a_chain_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "params.json"
    names = "+".join([*FILTERS, "gaussian-mixture", *REFINEMENTS, *CLEANUPS])
    given = {"classes": 4, "smooth.sigma": 0.5, "crf.intensity": (0.1, 0.2)}
    chain = Chain.parse(names, given, "cpu")
    chain.save(file)
    assert Chain.load(file, device="cpu") == chain
    assert "device" not in file.read_text()
    changed = Chain.load(file, {"gaussian-mixture.classes": 2, "crf.intensity": 0.3}).method
    mixture = method("gaussian-mixture", classes=2)
    assert changed == Refined(mixture, DenseCRF(intensity=0.3))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [file]


def test_a_chain_with_a_model_has_no_parameters_to_save(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names and parameters, and Recorded has none"):
        Chain(Recorded(np.zeros(1))).save(tmp_path / "params.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ("[]", "holds no chain; expected"),
        ("{}", "holds no chain; expected"),
        ('{"chain": "otsu"}', "holds no chain; expected"),
        ('{"chain": ["otsu"]}', "holds no chain; expected"),
        ('{"chain": [{"classes": 3}]}', "holds no chain; expected"),
        ('{"chain": []}', "filters, one method, crf.*got nothing"),
        ('{"chain": [{"name": "otsu", "clases": 3}]}', "did you mean 'classes'"),
        ('{"chain": [{"name": "otsu", "classes": "3"}]}', "otsu can't be built"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "params.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        Chain.load(file)


def test_the_file_is_plain_enough_to_be_written_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "params.json"
    steps = [{"name": "otsu", "classes": 3}, {"name": "open", "radius": 1}]
    file.write_text(json.dumps({"chain": steps}))
    chain = Chain.load(file)
    assert (chain.method, chain.cleanups) == (
        method("otsu", classes=3),
        (cleanup_called("open", radius=1),),
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.json does not exist"):
        Chain.load(tmp_path / "no.json")
