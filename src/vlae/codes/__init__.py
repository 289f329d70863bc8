"""Put codes to use: files of codes, outliers, mixes, a prior fitted to them, ONNX."""
