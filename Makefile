# `make help` lists the commands. Everything runs inside .venv, which the first command creates.
SHELL := /bin/bash
PYTHON ?= python3
# cpu, cu126, ...: ask uv for that build of torch. Empty: the build that the package index offers.
TORCH_BACKEND ?=
VENV := .venv
RUN := $(VENV)/bin/python
OUT ?= runs/quickstart
FILMS_OUT ?= runs/quickstart_films
# Processes that train cells of the quickstart side by side.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install quickstart quickstart-films test test-all fuzz lint types flags format check cluster-up cluster-down test-cluster test-cluster-short clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.txt
	@started=$$(date +%s); \
	test -x $(RUN) || $(PYTHON) -m venv $(VENV); \
	$(RUN) -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1" && \
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(RUN) $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) -r requirements.txt && \
	touch $@ && echo "install: $$(( $$(date +%s) - started )) s"

install: $(VENV)/.installed ## create .venv and install the pinned requirements

quickstart: install ## the whole study on built-in phantom CT, on a CPU: OUT/report.html
	@started=$$(date +%s); \
	$(RUN) prepare.py phantom_ct --out $(OUT)/data --num-patients 40 --image-size 64 --share-with-tumour 1 --tumour-mm 50 --split-ratios 0.6 0.15 0.25 && \
	$(RUN) study.py run configs/studies/quickstart.yaml --data.root $(OUT)/data --out $(OUT) --workers $(WORKERS) && \
	echo "quickstart: $$(( $$(date +%s) - started )) s of work. Open $(OUT)/report.html"

quickstart-films: install ## a GAN of drawn chest films at 32 pixels, on a CPU: watch FILMS_OUT/gan/samples
	@started=$$(date +%s); \
	$(RUN) prepare.py phantom_cxr --out $(FILMS_OUT)/data --num-patients 200 --image-size 32 && \
	$(RUN) train.py fit --config configs/chest_xray/quickstart.yaml --data.root $(FILMS_OUT)/data --run_folder $(FILMS_OUT)/gan --wandb offline && \
	echo "quickstart-films: $$(( $$(date +%s) - started )) s of work. Open $(FILMS_OUT)/gan/samples"

# Compiled tests are kept even where the environment says otherwise: to compile them anew takes each process ten seconds.
test: install ## the tests that need neither a GPU, a cluster nor patience
	@started=$$(date +%s); PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist worksteal; status=$$?; \
	echo "tests: $$(( $$(date +%s) - started )) s"; exit $$status

test-all: install ## the slow tests too
	$(RUN) -m pytest -m "not gpu and not cluster"

fuzz: install ## 10,000 damaged files of each kind: each is read, or refused by name; FUZZ_FILMS=FOLDER: real films too
	$(RUN) -m pytest -m fuzz -s tests/preparation/fuzzing

lint: install ## ruff: errors, style, import order, layout
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: install ## mypy
	$(VENV)/bin/mypy .

flags: install ## after a change of train.py's flags: what it tells before Lightning is loaded
	$(RUN) -m training.flag_record

format: install ## put the layout right
	$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

check: lint types test ## what CI runs

cluster-up: ## a SLURM of two nodes on this machine (Debian's slurm-wlm and munge), in .cluster
	@scripts/cluster/up.sh

cluster-down: ## end it and its jobs; logs stay in .cluster/logs
	@scripts/cluster/down.sh

test-cluster: install ## trainings and a study as SLURM jobs, on a cluster of their own; 20 minutes
	$(RUN) -m pytest -m cluster tests/cluster

test-cluster-short: install ## two of them, which CI runs: two nodes equal one process, a time limit changes no bit; 2 minutes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m cluster tests/cluster -k "two_tasks_on_two_nodes or time_limit_after"

clean: ## remove the virtual environment and caches; runs/, data/ and synthetic/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
