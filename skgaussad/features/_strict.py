"""Decoding that fails where pixels are missing, whatever Pillow is told.

With ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True``, which training code often sets,
Pillow leaves the pixels black or grey that a file does not have. The flag holds for all
threads, so it cannot be taken back for one image. Instead each decoder is wrapped in
one that raises its error itself, and remembers whether it came to its end.
"""

from PIL import Image, ImageFile

_NAME = "skgaussad"


class _Decoder:
    """A decoder of Pillow that raises its errors, and tells that it came to its end.

    Parameters are Pillow's mode, the name and arguments of the decoder, a list that
    receives the tile when it is complete, and what Pillow appends.
    """

    def __init__(self, mode, name, args, finished, *config):
        self._decoder = Image._getdecoder(mode, name, args, config)
        self._finished = finished
        self._tile = name, args
        self.pulls_fd = self._decoder.pulls_fd
        self.setfd = self._decoder.setfd
        self.cleanup = self._decoder.cleanup

    def setimage(self, image, box):
        self._box = box
        self._decoder.setimage(image, box)

    def decode(self, data):
        n_used, error = self._decoder.decode(data)
        if error < 0:
            raise OSError(f"the decoder reports error {error}")
        if n_used < 0 or self.pulls_fd:
            self._finished.append((*self._tile, self._box))
        return n_used, error


Image.register_decoder(_NAME, _Decoder)


def load_strictly(image):
    """Load an image that was opened; do nothing if it is loaded or made in memory.

    Raises
    ------
    OSError
        If pixels are missing; and whatever else Pillow raises.
    """
    if not isinstance(image, ImageFile.ImageFile):
        return
    tiles, finished = image.tile, []
    # libtiff gets the file as a whole, and its errors are raised in any case.
    if any(tile[0] != "libtiff" for tile in tiles):
        image.tile = [_wrap(tile, finished) for tile in tiles]
        try:
            image.load()
        except BaseException:
            image.tile = tiles
            raise
        # Planes of one box differ by their arguments.
        if not all((name, args, box) in finished for name, box, _, args in tiles):
            raise OSError("image file is truncated")
    image.load()
    # The end of a JPEG file that Pillow made up.
    if getattr(image, "_ended", False):
        raise OSError("image file is truncated")


def _wrap(tile, finished):
    """Return a tile with a decoder that raises; Pillow 10 has tuples for tiles."""
    name, box, offset, args = tile
    wrapped = (_NAME, box, offset, (name, args, finished))
    return getattr(type(tile), "_make", tuple)(wrapped)
