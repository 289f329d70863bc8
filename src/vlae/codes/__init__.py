"""Put codes to use: files of codes, outliers, mixes, ONNX."""
