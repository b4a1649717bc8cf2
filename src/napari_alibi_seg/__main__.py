"""``python -m napari_alibi_seg`` is the command ``napari-alibi-seg``."""

from napari_alibi_seg.cli import main

raise SystemExit(main())
