"""What a model learns.

- backbones: a network by its name, with its preprocessing and what is known of its weights
- weights: which weights a backbone gets, timm's and Keras' alike
- anatomy: what a network is made of, stage by stage
- features: what a frozen backbone sees, a photo once a view, kept on disk
- heads: FIUBA's recipe for the layer trained on features, and its exact solution
- search: Optuna over the recipe's five parameters, resumable
- blocks: a head validated on photos that were collected at another time
- finetune: the backbone's own layers too, in two phases, resumable
- study: one model under every split scheme and seed
- keras_networks, keras_training: the networks of the second question, and how they learn
- predictions: the tables that every model, Keras' too, gives to the evaluation room
- models: a backbone and its head in one safetensors file
- export, keras_export: both as ONNX, one file that everything answers from

Photos come with `split` filled (`wastebook.data.split_photos`); extract features once for all photos, splits
only select rows. Nothing is imported here, so that torch is loaded only where it is used.
"""
