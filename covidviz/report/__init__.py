"""Reports of finished runs: one self-contained HTML file, Markdown with pictures, or a model card. No torch.

`facts` reads runs, `sections` says what is true of them as `blocks`, and `html` and `markdown` write these down.
"""
