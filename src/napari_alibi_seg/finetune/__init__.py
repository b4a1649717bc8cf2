"""Train the models that compute the features.

``python -m napari_alibi_seg.finetune`` distils a timm ViT into its ALiBi form,
``python -m napari_alibi_seg.finetune.filters`` trains the learned pixel filters.
"""
