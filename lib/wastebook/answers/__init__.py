"""New photos: the models that runs have kept, asked in a terminal, a notebook, an app and a browser."""
