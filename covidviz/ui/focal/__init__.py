"""The Focal loss page."""
