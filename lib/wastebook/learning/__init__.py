"""What a model learns: any network of timm's or Keras', and a head on what it sees.

Photos come with `split` filled (`split_photos`); extract features once for all photos, splits only select
rows. Nothing is imported here, so that torch is loaded only where it is used.
"""
