"""Scikit-learn's tags of estimators that take images."""


class ImageInputMixin:
    """Declares images, paths or arrays, as the input instead of a matrix."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
