# On a bare machine with Python and git: `make repro` reproduces the default run, `make test` checks everything.
PYTHON ?= python3.11
VENV := $(CURDIR)/.venv
# Stages are started as `python ...`: the venv must come first, or they would run under another Python.
export PATH := $(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
# uv does not read pip's setting; where one offers a CPU build of torch, the lock's version is satisfied by it.
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
READY := $(VENV)/.ready

.PHONY: venv repro test test-fast show bench readme lint lock clean

venv: $(READY)

$(READY): requirements.lock pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --requirement requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	touch $(READY)

repro: venv
	truing plan --check
	truing repro
	truing show

# Experiments as rows: what varies among the parameters, the means of the first headline metrics, and the declared differences.
# DVC matches a pattern from the start of a column's name.
PLAN_AND_DATA := plan|data|models|src|stages|schemas|requirements|metrics/|Created
DETAIL := .*(ci_lo|ci_hi|p_value|\.n|macro_f1\..*|entropy_norm\..*)$$|.*contrasts.*accuracy.*

show: venv
	dvc exp show --only-changed --drop '$(PLAN_AND_DATA)|$(DETAIL)' --precision 3 --md --no-pager

test: lint
	pytest -n 2 --dist worksteal

test-fast: venv
	pytest -n 2 --dist worksteal -m "not slow and not browser"

lint: venv
	ruff check .
	ruff format --check .
	typos
	lint-imports
	mypy
	truing plan --check

# What the benchmarks print is what docs/benchmarks.md says, each under the first line of its own text.
BENCHMARKS := null_scoring tracing statistics importing calibration judging judge_correction sampling impact preference_training

bench: venv
	{ printf '# Benchmarks\n\nWritten by `make bench`: both sides of a ratio are measured in one run.\n'; \
	  for name in $(BENCHMARKS); do \
	    printf '\n## %s\n\n```text\n' "$$(sed -n '1s/"""//gp' benchmarks/$$name.py)"; \
	    OMP_NUM_THREADS=1 python benchmarks/$$name.py || exit 1; \
	    printf '```\n'; \
	  done; } > docs/benchmarks.md

# The numbers and the picture in README.md come from the run that is in the workspace.
readme: venv
	truing show --into README.md
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --user-data-dir=$$(mktemp -d) --window-size=1280,2450 \
		--screenshot=docs/images/report.png file://$(CURDIR)/metrics/report/index.html

# torch pulls CUDA packages on a machine with a GPU build by its own exact pins; they must not be in a portable lock.
lock: venv
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate requirements.in \
		| grep -vE '^(nvidia-|triton=|cuda-)' > requirements.lock

clean:
	rm -rf .scratch logs .mypy_cache .pytest_cache .ruff_cache
