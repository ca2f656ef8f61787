# Two commands: `make run` starts the explorer, `make test` checks everything. Each makes .venv when it is not there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check format

run: .venv/.run
	$(BIN)/streamlit run streamlit_app.py

test: .venv/.test
	$(BIN)/python tests/browser/chromium.py --install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

format: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"covidviz needs Python 3.11 or newer; $(PYTHON) is {sys.version.split()[0]}. Name another one: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv .venv

.venv/.run: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

.venv/.test: requirements.txt requirements-test.txt | .venv/bin/python
	$(BIN)/python -m pip install -r requirements-test.txt
	touch $@ .venv/.run
