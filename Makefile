# make run      install into .venv and run the quick benchmark, JOBS processes side by side (2)
# make test     the tests, at most 7 minutes on two cores; make test-full adds the long ones
# make test-lowest   the tests on the lowest versions that pyproject.toml declares; make test-highest, on the newest
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
READY  := $(VENV)/.ready

.PHONY: run test test-full test-lowest test-highest lint bench docs seed calibrate reference training full-length toys which gallery policy-gradients regress baseline peers speed clean

run: $(READY)
	$(BIN)/dvae-bench run --estimators all --jobs $(JOBS)

test: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not full"

test-full: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Each in a new venv of its own, about 7 GB. What an old package calls of a newer one may be deprecated: not our fault.
test-lowest: RESOLUTION := lowest-direct
test-highest: RESOLUTION := highest
test-lowest test-highest:
	$(PYTHON) -m venv --clear build/$@
	build/$@/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	build/$@/bin/uv pip install --quiet --python build/$@/bin/python --resolution $(RESOLUTION) --editable ".[dev]"
	build/$@/bin/python -m pytest -n 2 -m "not full" -W ignore::DeprecationWarning

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/typing && ln -sfn ../.. build/typing/dvae_bench
	cd build/typing && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml -p dvae_bench
	cd build/typing && MYPYPATH=.:../../scripts ../../$(BIN)/mypy --config-file ../../pyproject.toml --explicit-package-bases ../../scripts

bench: $(READY)
	$(BIN)/python -m pytest benchmarks -q --benchmark-autosave --benchmark-columns=median,iqr,rounds

# Writes the generated pages of docs/, draws the README's picture and those of docs/figures.md from stored results, executes the notebook of examples/, and builds the site build/site from all pages, without network access.
docs: $(READY)
	$(BIN)/python scripts/make_docs.py
	$(BIN)/python scripts/public_code.py
	$(BIN)/python scripts/gallery.py
	$(BIN)/python scripts/notebook.py
	$(BIN)/python scripts/seed_document.py fill
	$(BIN)/python scripts/make_site.py

# Runs the commands of docs/seed-document.md, keeps their results in results/reference/seed: about half an hour on one core.
seed: $(READY)
	$(BIN)/python scripts/seed_document.py run
	$(BIN)/python scripts/seed_document.py fill

# How often the statistical tests err, on draws of known distribution: a fresh seed, about 15 minutes on one core.
calibrate: $(READY)
	$(BIN)/python scripts/calibrate.py

# The source of docs/estimators/, kept in results/reference: the quick preset on the full MNIST.
reference: $(READY)
	$(BIN)/dvae-bench run --estimators all --jobs $(JOBS) -o results/reference-run
	cp results/reference-run/context.json results/reference
	cp $(addprefix results/reference-run/tables/,toys.csv training.csv) results/reference/tables

TEMPERATURE := results/reference/hooper-temperature/hooper-temperature.toml
TRAININGS   := mnist-bernoulli hooper-n8-k64 hooper-n128-k4 hooper-temperature/20-epochs hooper-temperature/100-epochs
# The trainings of the README: some six hours on two cores, in cells of at most half an hour; a second call continues.
# Kept in results/reference are their cells and tables.
training: $(READY)
	$(BIN)/dvae-bench reproduce mnist-bernoulli --jobs $(JOBS)
	for name in hooper-n8-k64 hooper-n128-k4; do \
	$(BIN)/dvae-bench reproduce results/reference/$$name/$$name.toml --steps 6000 --seeds 3 --jobs $(JOBS) || exit; done
	$(BIN)/dvae-bench reproduce $(TEMPERATURE) --steps 6000 --seeds 3 --jobs $(JOBS) \
	-e ZGR -e "ZGR lr*" -e "GR*" -o results/hooper-temperature/20-epochs
	$(BIN)/dvae-bench reproduce $(TEMPERATURE) --steps 30000 --seeds 1 --jobs $(JOBS) \
	-e "ZGR*" -e "GR-MC20 tau=.5" -o results/hooper-temperature/100-epochs
	for run in $(TRAININGS); do \
	rm -rf results/reference/$$run/cells && mkdir -p results/reference/$$run/tables && \
	cp -r results/$$run/context.json results/$$run/cells results/reference/$$run && \
	cp $(addprefix results/$$run/tables/,reproduction.csv reproduction.md training.md) results/reference/$$run/tables \
	|| exit; done

# A column of a protocol at full length, such as SETTING="binary B=20": the sweep, and then the reporting seeds. Each cell
# is stored below results/reference when it ends, to be committed; a call in any clone goes on with the cells that lack.
PROTOCOL := gumbel-rao-2021
SETTING  := *
full-length: $(READY)
	$(BIN)/dvae-bench reproduce $(PROTOCOL) --setting "$(SETTING)" --jobs $(JOBS) \
	-o results/reference/$(notdir $(basename $(PROTOCOL)))/full-length

# The published toys at full length, the source of docs/published.md: some twenty minutes on one core.
toys: $(READY)
	for name in hooper-bias-variance hooper-polynomial; do \
	$(BIN)/dvae-bench reproduce $$name --jobs $(JOBS) && \
	rm -rf results/reference/$$name/cells && mkdir -p results/reference/$$name/tables && \
	cp -r results/$$name/context.json results/$$name/cells results/reference/$$name && \
	cp $(addprefix results/$$name/tables/reproduction,.csv .md) results/reference/$$name/tables || exit; done
	$(BIN)/python scripts/replay_polynomial.py

# The source of docs/which-estimator.md: about 5 minutes on one core.
which: $(READY)
	$(BIN)/python scripts/which.py

# The source of docs/policy-gradients.md, TRL's trainers among them: some ten minutes on one core.
policy-gradients: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[trl]"
	$(BIN)/python scripts/policy_gradients.py

# Bias tests of other packages' estimators, and the times of their training steps: results/reference/peers, some minutes
# on an idle core.
peers: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[peers]"
	$(BIN)/python scripts/peers.py
	$(BIN)/python scripts/step_times.py

# The rows of docs/figures.md's pictures that no other stored run has: results/reference/gallery, a minute on one core.
GALLERY := $(BIN)/dvae-bench run --no-report -o results/reference/gallery
gallery: $(READY)
	$(GALLERY) -e 'gumbel-softmax:tau={0.1,0.2,0.5,1,2}' -e 'st-gumbel-softmax:tau={0.1,0.2,0.5,1,2}' -t bit-table
	$(GALLERY) -e rloo -e disarm -e rebar -e straight-through -e reinforce -t 'bit:t=.45,logit={-4,-2,0,2,4}'
	$(GALLERY) --plugin examples/my_estimator.py -e antithetic -e rloo -t bit-table
	$(GALLERY) -e rloo -e straight-through -e gumbel-softmax -e disarm -e reinforce -t mnist-vae --steps 200 \
	--target-elbo -185 --basket rloo --basket reinforce --basket gumbel-softmax --basket disarm --basket straight-through

# Gains and costs of bfloat16 and compilation on this machine: results/reference/speed-paths, some minutes on one core.
speed: $(READY)
	$(BIN)/python scripts/speed_paths.py

# The gate: measures the grid of the committed baseline again at the same seed; exits 1 where a metric is missing or worse.
regress: $(READY)
	$(BIN)/python scripts/regress.py results/regress
	$(BIN)/dvae-bench compare results/reference/baseline results/regress

baseline: $(READY)
	rm -rf results/reference/baseline
	$(BIN)/python scripts/regress.py results/reference/baseline

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("dvae-bench needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
