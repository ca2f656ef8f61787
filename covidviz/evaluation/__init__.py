"""Measuring predictions. numpy and scikit-learn, no torch."""
