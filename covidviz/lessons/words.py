"""The technical words of the lessons, each explained once."""

from __future__ import annotations

__all__ = ["WORDS"]

WORDS = {
    "accuracy": "The share of images that are called what they are.",
    "constant predictor": "A rule that looks at no image and always says the same. Whoever does not beat it has learnt "
    "nothing useful.",
    "cross-entropy": "The usual loss: it is high where the network was sure and wrong.",
    "epoch": "One pass through all training images.",
    "exact match": "The share of images with all their yes-or-no labels right.",
    "false alarm": "An image called covid-19 that shows something else.",
    "fine-tuning": "Training layers of the network itself, not only its head.",
    "focal loss": "Cross-entropy that counts images less the better they are already told. Gamma says how much less; "
    "alpha weighs covid-19 against all else.",
    "frozen": "Not changed by training.",
    "head": "The last layer: it turns what the network found in an image into one score per class.",
    "heat map": "Where in the image the score of a class comes from, as Grad-CAM computes it.",
    "interval": "The range in which the true value lies, in 95 of 100 such measurements.",
    "leakage": "Validation images that training has in some way seen before.",
    "learning rate": "How far each step of training moves the weights.",
    "loss": "The number that training makes small.",
    "McNemar's test": "Of two networks, on the images where just one is right: could a coin have decided which one it "
    "is?",
    "p": "How often chance alone would give a difference at least this large. Below .05 counts as evidence.",
    "per-label accuracy": "The share of yes-or-no labels that are right; an image has three of them.",
    "phantom": "A drawn image that looks like a chest X-ray. Here all images are phantoms.",
    "recall": "Of the images that show covid-19, the share that is called so.",
    "seed": "The number that all random choices of a run begin with.",
    "shortcut": "A mark that goes with the class, but is not the disease.",
    "validation images": "Images that were not trained on. All scores are measured on them.",
    "weights": "The numbers in a network that training changes.",
}
