"""What codes are used for: files of codes, outliers, mixes of images, ONNX files."""
