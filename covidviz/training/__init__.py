"""Training and inference: the only package, besides `covidviz.explain.cam`, that imports torch."""
