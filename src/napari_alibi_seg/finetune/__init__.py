"""Distil a timm ViT into its ALiBi form: ``python -m napari_alibi_seg.finetune``."""
