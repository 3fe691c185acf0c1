"""The formats of image files that are read, in one place.

Pillow tries many more. Some of them start other programs (EPS runs Ghostscript), some
have no signature (TGA takes any file for one), and most are hardly used and tested.
"""

from PIL import Image

# By Pillow's name of the format, the extensions that its files have.
_EXTENSIONS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    # A JPEG file with more pictures after the first, which phones write.
    "MPO": (".mpo",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "AVIF": (".avif", ".avifs"),
}
IMAGE_FORMATS = tuple(_EXTENSIONS)
# In lower case, with the dot.
IMAGE_EXTENSIONS = tuple(name for names in _EXTENSIONS.values() for name in names)


def open_image(file):
    """Open an image of `IMAGE_FORMATS`; its header is read, and no pixels.

    Parameters
    ----------
    file : path or binary file

    Returns
    -------
    image : PIL.Image.Image

    Raises
    ------
    PIL.UnidentifiedImageError
        If it is of another format, or its header is damaged.
    """
    Image.init()
    # Pillow may be built without some.
    return Image.open(file, formats=[f for f in IMAGE_FORMATS if f in Image.OPEN])
