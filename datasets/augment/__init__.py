"""Augmentation in batches: crops, flips and CutMix, TrivialAugment, and the views of self-supervision."""

from .basic import cutmix, random_crop, random_flip

__all__ = ["cutmix", "random_crop", "random_flip"]
