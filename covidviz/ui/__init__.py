"""The web explorer: what the pages share. Only this package, `pages/` and the launcher import streamlit."""
