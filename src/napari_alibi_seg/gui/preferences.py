"""What the person set under Preferences, Plugins."""

from __future__ import annotations

from napari.settings import get_plugin_settings

from napari_alibi_seg.gui.records import Settings


def preferred_settings() -> Settings:
    """Return the settings a new dock starts with."""
    try:
        preferred = get_plugin_settings("napari-alibi-seg").segmentation
    except KeyError:  # the dock was made without napari's plugin manager
        return Settings()
    return Settings(
        preferred.model,
        trees=preferred.trees,
        device=preferred.device,
        threads=preferred.threads,
    )
