"""The Recipes page: reported against reproduced, one report at a time."""
