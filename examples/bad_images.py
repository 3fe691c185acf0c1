"""
==========================================
Go on without an image that cannot be used
==========================================

The error says which of many images it is.

Run it with ``python examples/bad_images.py``.
"""

# sphinx_gallery_thumbnail_path = "generated/thumbnails/bad_images.png"

import tempfile
from pathlib import Path

from PIL import Image

from skgaussad import DeepFeatureTransformer
from skgaussad.datasets import make_textures
from skgaussad.exceptions import InvalidImageError

# %%
# Four images, the third of which is cut off in the middle.
folder = Path(tempfile.mkdtemp())
paths = []
for number, image in enumerate(make_textures(4, 0, size=64, random_state=0).images):
    paths.append(folder / f"{number}.png")
    Image.fromarray(image).save(paths[-1])
content = paths[2].read_bytes()
paths[2].write_bytes(content[: len(content) // 2])

# %%
# The error names the position and the path, and nothing is computed in part.
transformer = DeepFeatureTransformer(levels=5, image_size=64).fit(paths)
try:
    transformer.transform(paths)
except InvalidImageError as error:
    print(str(error).replace(str(folder), "..."))
    good = [path for index, path in enumerate(paths) if index != error.index]

print(transformer.transform(good).shape)
