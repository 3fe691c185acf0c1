"""What scikit-learn is told of estimators that take images."""


class ImageInputMixin:
    """Estimator whose input is images: paths or arrays, not a matrix."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
