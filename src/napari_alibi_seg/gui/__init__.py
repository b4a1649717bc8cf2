"""The napari plugin: the only place that knows Qt and napari."""
