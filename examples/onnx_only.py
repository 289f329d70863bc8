"""Uses an exported ladder with onnxruntime, numpy and pillow alone: a picture's codes, and the picture they make.

vlae export streets --out onnx
python onnx_only.py onnx PICTURE BACK.png
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, picture, back = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
encoder = onnxruntime.InferenceSession(str(folder / "encoder.onnx"))
decoder = onnxruntime.InferenceSession(str(folder / "decoder.onnx"))
metadata = {name: json.loads(value) for name, value in encoder.get_modelmeta().custom_metadata_map.items()}

# The preprocessing of the training images: the square in the middle, resized; float32 in [0, 1], N C H W.
_, channels, height, width = metadata["inputs"]["images"]
image = ImageOps.exif_transpose(Image.open(picture)).convert("L" if channels == 1 else "RGB")
if height == width:
    image = ImageOps.fit(image, (min(image.size), min(image.size)))
image = image.resize((width, height), Image.Resampling.LANCZOS)
pixels = np.asarray(image, np.float32).reshape(height, width, channels) / 255
images = pixels.transpose(2, 0, 1)[None]

names = [output.name for output in encoder.get_outputs()]
outputs = dict(zip(names, encoder.run(None, {"images": images}), strict=True))
for level, size in enumerate(metadata["code_sizes"], start=1):
    if size:
        title = metadata["levels"].get(str(level), "")
        print(f"level {level} {title}: {np.round(outputs[f'level{level}_mean'][0], 2)}")

codes = {code.name: outputs[code.name.replace("_code", "_mean")] for code in decoder.get_inputs()}
(decoded,) = decoder.run(None, codes)
rows = (decoded[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
Image.fromarray(rows[:, :, 0] if channels == 1 else rows).save(back)
