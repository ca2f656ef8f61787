"""covidviz: fine-tune VGG-16 and ResNet-18 on chest X-rays, and find out whether to believe the result."""

__version__ = "0.1.0"
