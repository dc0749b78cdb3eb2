# Two commands do everything on a fresh machine with Python 3.11 and a package registry:
#   make model   builds, evaluates, packages and installs en_spanmed
#   make test    runs the tests
# Both make their own .venv.

PYTHON ?= python3.11
VENV := .venv
RUN := . $(VENV)/bin/activate &&

# The project's steps depend on source folders: compiled files in them would look like changes
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: model test test-slow lint docs smoke baselines clean

$(VENV)/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -c constraints.txt pip setuptools wheel
	@# torch first and pinned: later packages then find it and don't bring a CUDA build
	$(VENV)/bin/python -m pip install -q -c constraints.txt torch
	$(VENV)/bin/python -m pip install -q -c constraints.txt -e ".[pretrain,default,build,corpora,papers,datasets,tables,benchmarks,test,docs,dev]"
	@touch $@

model: $(VENV)/.installed
	@# Killed outright, a run leaves its step at work: two of them would write to the same files
	@if pgrep -f "$(CURDIR)/[.]venv/bin/python -m spac[y]" > /dev/null 2>&1; then \
		echo "A step of an earlier run is still at work here. Wait for it, or stop it:"; \
		pgrep -af "$(CURDIR)/[.]venv/bin/python -m spac[y]" | cut -c1-150; exit 1; fi
	@find spacy_spanmed benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +
	$(RUN) python -m spacy project run all

# The same workflow on a small sample: a check that everything works, not a usable model
smoke: $(VENV)/.installed
	$(RUN) bash tests/smoke.sh

baselines: $(VENV)/.installed
	$(RUN) python -m spacy project run baselines

# In several processes, one a core: most tests wait for a single thread
test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile

# What repeats whole workflows
test-slow: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The website, in site/. Its tables of settings and commands are read from the code.
docs: $(VENV)/.installed
	PYTHONPATH="$(CURDIR)" $(VENV)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) corpus/* training dist build site smoke project.lock *.egg-info
