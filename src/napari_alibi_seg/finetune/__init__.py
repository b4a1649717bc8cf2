"""Prepare what the features are made of.

``python -m napari_alibi_seg.finetune`` distils a timm ViT into its ALiBi form,
``python -m napari_alibi_seg.finetune.filters`` trains filters of pixels.
"""
