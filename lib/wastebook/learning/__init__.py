"""What a model learns.

| module | functions |
|---|---|
| backbones | `load_backbone(name, weights, image_size, photos, root)`: network, preprocessing and what is
known of its weights | | features | `extract_features(photos, root, backbone, transform, views, seed)`:
(views, N, D), kept on disk | | heads | `train_head` (FIUBA's recipe), `solve_head` (the exact solution),
`predict_head` (the predictions table) | | search | `search_head`: Optuna over the recipe's five parameters,
resumable | | finetune | `finetune`: the backbone's own layers too, in two phases, resumable |
| models | `Model`, `save_model`, `load_model`, `predict_photos`: one safetensors file a model |
| predictions | `predictions_table`: what every model, Keras' too, gives to the evaluation room |

Photos come with `split` filled (`wastebook.data.split_photos`); extract features once for all photos, splits
only select rows. Nothing is imported here, so that torch is loaded only where it is used.
"""
