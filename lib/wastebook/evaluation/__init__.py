"""How good a model is: metrics, uncertainty, calibration."""
