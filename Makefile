# Two commands are enough: `make lab` to read the course, `make test` to check it.
# They need make (3.81 will do), a shell and Python 3.11 or newer; all else goes
# into .venv. Choose a Python with `make lab PYTHON=/path/to/python3`.

VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip
PYTHONS = $(PYTHON) python3 python3.13 python3.12 python3.11

# Notebooks have settings of their own, which lie with the scripts.
RUFF = $(BIN)/python -m ruff
PAGES = --config tools/notebooks.toml notebooks

# How many processes share the tests.
JOBS = 2

# Where a requirement is to be met by one version only: a file of constraints for pip.
PINS =
PINS_lowest = build/lowest.txt
PINS_colab = tests/colab.txt
PYTHON_lowest = python3.11
PYTHON_colab = python3.13

# Asked of a Python by running it: a pyenv shim can exist and still not work, and
# Debian's Python lacks ensurepip until python3-venv is installed.
USABLE = import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

# A .venv whose Python is gone, as after an upgrade of Python, is made anew.
HEALED := $(shell $(BIN)/python -c "" 2>/dev/null || rm -f $(VENV)/pyvenv.cfg)

help:
	@echo "make lab        open the course in JupyterLab"
	@echo "make test       run every unit test, doctest and notebook"
	@echo "make test-3.13  the same in build/3.13, on that Python; so for 3.11 and 3.12"
	@echo "make test-lowest, test-colab  with the oldest versions that pyproject.toml"
	@echo "                allows; with those of Colab (tests/colab.txt)"
	@echo "make lint       check style and types"
	@echo "make format     tidy the code, notebooks too"
	@echo "make notebooks  run all notebooks and save them with their outputs"
	@echo "make student    copy the notebooks without solutions into build/student/"
	@echo "make site       write the course and the package's reference into build/site/"
	@echo "make slides NB=01   show a notebook as slides: build/slides/01.html"
	@echo "make address REPOSITORY=https://github.com/you/fork   rewrite every link"
	@echo "make bench      train beside other libraries on MNIST (pip installs them)"
	@echo "make clean      remove .venv and everything else that can be made again"
	@echo ""
	@echo "PYTHON=... chooses the Python of a new .venv; JOBS=... how many processes"
	@echo "test (2); ARGS=... is handed on, as in: make test ARGS=tests/core"

# All of the repository can be opened. tools/lab/overrides.json has other defaults than
# JupyterLab's, no question about news among them; what a user has set still counts.
lab: $(VENV)/lab-ready
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=. \
	    --LabApp.app_settings_dir=tools/lab \
	    --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(ARGS)

# A file, such as a notebook, is the work of one process: its cells share a kernel. The
# notebooks, which take longest, are first, as pyproject.toml names them.
SHARED = -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/dev-ready
	$(BIN)/python -m pytest $(SHARED) $(ARGS)

test-%:
	$(MAKE) test VENV=build/$* PYTHONS="$(or $(PYTHON),$(PYTHON_$*),python$*)" \
	    PINS=$(PINS_$*)

lint: $(VENV)/dev-ready
	$(RUFF) check
	$(RUFF) format --check
	$(RUFF) check $(PAGES)
	$(RUFF) format --check $(PAGES)
	$(BIN)/python -m mypy

format: $(VENV)/dev-ready
	$(RUFF) check --fix-only
	$(RUFF) format
	$(RUFF) check --fix-only $(PAGES)
	$(RUFF) format $(PAGES)

notebooks: $(VENV)/dev-ready
	$(BIN)/python tools/build.py notebooks/[0-9]*.ipynb

student: $(VENV)/lab-ready
	$(BIN)/python tools/student.py

site: $(VENV)/docs-ready
	@mkdir -p build/site-source
	$(BIN)/python -m sphinx -q -W --keep-going -c docs build/site-source build/site
	@echo "open build/site/index.html"

slides: $(VENV)/docs-ready
	$(BIN)/python tools/slides.py $(NB)

address: $(VENV)/lab-ready
	$(BIN)/python tools/address.py $(REPOSITORY)

bench: $(VENV)/dev-ready
	$(PIP) install -q -e ".[dev,bench]"
	$(BIN)/python benchmarks/peers.py $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	rm -rf build dist *.egg-info .coverage* htmlcov
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help lab test lint format notebooks student site slides address bench clean

# A stamp says that an install went through, so it is touched last: after an
# interrupted install, or a newer pyproject.toml, the next call installs again.
$(VENV)/lab-ready: pyproject.toml $(VENV)/pyvenv.cfg
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(PIP) install -e .
	@touch $@

$(VENV)/dev-ready: pyproject.toml $(VENV)/pyvenv.cfg $(PINS)
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(PIP) install $(PINS:%=-c %) -e ".[dev]"
	@touch $(VENV)/lab-ready $@

$(VENV)/docs-ready: $(VENV)/lab-ready
	$(PIP) install -e ".[docs]"
	@touch $@

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHONS); do \
	    if "$$python" -c '$(USABLE)' >/dev/null 2>&1; then \
	        echo "Making $(VENV) with $$python, $$("$$python" --version)"; \
	        exec "$$python" -m venv --clear $(VENV); \
	    fi; \
	done; \
	echo "minddpm needs Python 3.11 or newer with its venv module, and none of these" >&2; \
	echo "is one: $(PYTHONS). Install it (python.org; on Debian and Ubuntu: apt" >&2; \
	echo "install python3-venv), or name it: make lab PYTHON=/path/to/python3" >&2; \
	exit 1

# The lower bounds themselves: "torch>=2.6" becomes torch==2.6.
build/lowest.txt: pyproject.toml
	@mkdir -p $(@D)
	sed -n 's/^ *"\([a-z-]*\)>=\([0-9.]*\)",$$/\1==\2/p' $< >$@
