"""From a trained pipeline to a finished one: calibration and thresholds, fitted on dev."""
