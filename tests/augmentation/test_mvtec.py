import pytest

from skgaussad.augmentation import ImageAugmentation, mvtec_exclusions

TEXTURES = ["carpet", "grid", "leather", "tile", "wood"]
OBJECTS = ["bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill", "screw"]
OBJECTS += ["toothbrush", "transistor", "zipper"]


@pytest.mark.parametrize("category", TEXTURES + OBJECTS)
def test_exclusions_are_operations(category):
    ImageAugmentation(exclude=mvtec_exclusions(category)).check()


def test_the_categories_that_the_rule_names():
    """Rotation of a transistor is an anomaly; text and directions bear no flip."""
    assert "rotation" in mvtec_exclusions("transistor")
    for category in ("capsule", "pill", "zipper"):
        assert {"horizontal_flip", "vertical_flip"} <= set(mvtec_exclusions(category))
    assert [mvtec_exclusions(category) for category in TEXTURES] == [()] * 5


def test_unknown_category():
    with pytest.raises(ValueError, match="category must be one of 'bottle', .*'nut'"):
        mvtec_exclusions("nut")
