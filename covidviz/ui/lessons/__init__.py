"""The Lessons page: a guess, a run, what came out."""
