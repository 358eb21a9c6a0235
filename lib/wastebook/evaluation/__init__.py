"""How good a model is, and what its scores are worth: tables in, tables out, neither torch nor TensorFlow."""
