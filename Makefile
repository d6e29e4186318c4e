# make demo and make test are all that a newcomer needs; each sets up first.
.PHONY: help setup demo test test-thorough test-fast lint docs explorer matrix spark bench reference learning sample experts lock clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK := .ci/requirements.txt
DATA ?= data

help:
	@echo "make demo    set up, ingest PandaPickCube, print what it found"
	@echo "make test    set up, run the tests"
	@echo "make test-thorough   the tests that it leaves out: more robots, methods and features, which compile for long"
	@echo "make test-fast   those that take no more than a moment: two minutes"
	@echo "make setup   a virtual environment in $(VENV), with locked dependencies"
	@echo "make lint    ruff, mypy, the imports between rooms, the SQL"
	@echo "make docs    the documentation as pages, in build/site"
	@echo "make explorer   the page of jacdb explore, with npm: jacdb/explorer/page"
	@echo "make matrix  nine other engines read the sample: docs/reading.md"
	@echo "make spark   what the tests of Spark and Sail need: 1 GB, in build/reading"
	@echo "make bench   the benchmarks"

setup: $(READY)

# Python 3.12 or later may exist under a version manager alone; a shim of one may exist and not run.
# Python compiles a module when it is first imported; pip would compile all of them, two fifths of its time.
$(READY): $(LOCK) pyproject.toml
	@set -e; found=; \
	for python in "$(PYTHON)" python3.12 python3.13 python3.14 python3 \
	    "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python "$$HOME"/.local/share/uv/python/*/bin/python3; do \
	  if [ -n "$$python" ] && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	    found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "jacdb needs Python 3.12 or later: install one (pyenv install 3.12, say), or make PYTHON=/path/to/python3.12" >&2; \
	  exit 2; fi; \
	echo "setting up $(VENV) with $$("$$found" --version) (about a minute)"; \
	"$$found" -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(BIN)/jacdb ingest --env PandaPickCube --episodes 16 --data $(DATA)
	@echo; echo "Entries of the Jacobians that are zero in every step:"
	@$(BIN)/jacdb query global_sparsity --env PandaPickCube --data $(DATA)
	@echo "Zero entries in an average step, by what the hand touches (the cube itself rests on the floor):"
	@$(BIN)/jacdb sql --data $(DATA) -- "$$(cat docs/demo.sql)"

test: $(READY)
	$(BIN)/python -m pytest -m "not thorough"

test-thorough: $(READY)
	$(BIN)/python -m pytest -m thorough

test-fast: $(READY)
	$(BIN)/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --ignore-missing-imports --check-untyped-defs benchmarks docs/generate.py docs/reading_matrix.py
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint queries

# The documentation as pages, with a reference made from docstrings: build/site. A broken link fails it.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The page of `jacdb explore`. Vite needs Node.js 20.19 or later.
WEB := jacdb/explorer/web
PAGE := jacdb/explorer/page/index.html
explorer: $(PAGE)
$(PAGE): $(shell find $(WEB)/src $(WEB)/*.json $(WEB)/*.html $(WEB)/*.ts $(WEB)/licences 2>/dev/null)
	@command -v npm >/dev/null || { echo "the page of jacdb explore is built by npm: install Node.js 20.19 or later (Debian: apt-get install nodejs npm)" >&2; exit 2; }
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' || \
	  { echo "Node.js $$(node --version) is too old to build the page of jacdb explore: install 20.19 or later" >&2; exit 2; }
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent build
	@touch $@

# Nine engines, each in an environment of its own in build/reading (3 GB), read the sample. Spark needs Java 17.
matrix: $(READY)
	$(BIN)/python docs/reading_matrix.py

# Spark and Sail, each in an environment of its own (1 GB), for tests/test_spark.py: it is skipped without them.
spark: $(READY)
	$(BIN)/python docs/reading_matrix.py Sail
	@if command -v java >/dev/null; then $(BIN)/python docs/reading_matrix.py Spark; else \
	  echo "no Java: Spark is left out (Debian: apt-get install openjdk-17-jre-headless)"; fi

bench: $(READY)
	$(BIN)/python benchmarks/jacobians.py
	$(BIN)/python benchmarks/ingest.py

# The reference data, all by one engine: 54 environments under noise, the experts with coloured, white and no noise. Then what
# they say: datasets/reference, docs/reproduction.md, docs/experts.md. It resumes; reference/all is links to the other three.
PAPER := BallInCup CartpoleBalance CheetahRun FingerSpin FingerTurnEasy ReacherHard SwimmerSwimmer6 WalkerRun
NINE := $(PAPER) PandaPickCube
REFERENCE := noise experts modes
reference: $(READY)
	for plan in $(REFERENCE); do $(BIN)/jacdb ingest --plan datasets/reference/$$plan.yaml --data reference/$$plan || exit; done
	$(BIN)/jacdb merge $(REFERENCE:%=reference/%) --data reference/all
	for set in noise experts "all $(NINE:%=--env %)"; do set -- $$set; name=$$1; shift; \
	  $(BIN)/jacdb report --data reference/$$name --out reference/$$name-report --no-embedding "$$@" || exit; \
	  cp reference/$$name-report/facts.json datasets/reference/$$name.json; done
	$(BIN)/jacdb plot timeline --env CheetahRun --data reference/experts --out docs/gait.png
	$(BIN)/jacdb verify --data reference/all --format csv --out datasets/reference/verified.csv; found=$$?; \
	$(BIN)/python docs/generate.py && exit $$found

# The paper's fourth question, docs/learning.md: losses, models and baselines, five seeds each, in five environments. Two hours on
# two cores with `make -j2 learning`; what was interrupted resumes, and what is finished stays.
LEARNED := CheetahRun FingerTurnEasy CartpoleBalance ReacherHard PandaPickCube
LEARN := --policy expert --seeds 0-4 --steps 3000 --batch-size 128 --jacobian-rows 16 --data learned
learning: $(LEARNED:%=learn-%)
	rm -rf datasets/reference/learning && mkdir -p datasets/reference/learning
	cp -r learned/learning_runs learned/learning_scores datasets/reference/learning
	$(BIN)/python docs/generate.py

learn-%: $(READY)
	$(BIN)/jacdb ingest --env $* --policy expert --episodes $(if $(filter PandaPickCube,$*),120,20) --seed 0 --data learned
	$(BIN)/jacdb ingest --env $* --episodes $(if $(filter PandaPickCube,$*),24,4) --seed 0 --data learned
	$(BIN)/jacdb learn --env $* --model mlp --loss all $(LEARN)
	$(BIN)/jacdb learn --env $* --model mlp --loss mse+l1 --weight 0.1 $(LEARN)
	$(BIN)/jacdb score --env $* --policy expert --baseline all --data learned
	for model in locally_linear fcdl spartan graph_network cdl; do \
	  $(BIN)/jacdb learn --env $* --model $$model $(LEARN) || exit; done

# A few steps of each of nine environments: datasets/sample, for tests, tutorial and README. Two minutes.
sample: $(READY)
	rm -rf datasets/sample
	for env in BallInCup CartpoleBalance FingerSpin FingerTurnEasy ReacherHard; do \
	  $(BIN)/jacdb ingest --env $$env --episodes 4 --steps 250 --data datasets/sample || exit; done
	for env in CheetahRun SwimmerSwimmer6 WalkerRun; do \
	  $(BIN)/jacdb ingest --env $$env --episodes 4 --steps 100 --data datasets/sample || exit; done
	$(BIN)/jacdb ingest --env PandaPickCube --episodes 4 --steps 40 --data datasets/sample
	find datasets/sample -name lock -delete -o -name ingest.log -delete

# Trains what is missing in datasets/policies: minutes each on a GPU; on a CPU give TRAIN="--num-timesteps 10000000".
experts: $(READY)
	for env in $(PAPER) PandaPickCube; do file=datasets/policies/$$env.safetensors; \
	  [ -e $$file ] || $(BIN)/jacdb train --env $$env --out $$file $(TRAIN) || exit; done
	$(BIN)/python docs/generate.py

# Versions and hashes of everything, for every platform; names no registry.
lock:
	uv pip compile pyproject.toml --extra ingest --extra learn --extra dev --universal --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --no-header --upgrade -o $(LOCK)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache
