# `make` alone lists the targets. Two are all that a fresh machine needs: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# uv does not read pip's setting; DeepSpeed must not compile its operators at install time.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))
export DS_BUILD_OPS := 0

.DEFAULT_GOAL := help
.PHONY: help env lock docs wheel demo demo-from-scratch test test-slow test-extras soak fuzz mutants check format bench ablations exact dropout float-ablations clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

env: $(STAMP)  ## make .venv if it is missing or out of date

# Everything from the locks into the environment $(1), with the lock of the extra $(2) where one is named: files whose
# hashes are not in them are refused, and nothing else is resolved or downloaded. uv where there is one (seconds), else
# pip (minutes). First what source packages are built with, then torch: its CPU build where that is found, else its
# ordinary one with the CUDA libraries; an extra last, whose lock may put another version in place of the base's.
define install
@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
@$(1)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "Python 3.11 or newer is needed: rm -r $(1), then make env PYTHON=python3.11" >&2; exit 1; }
@set -e; if command -v uv >/dev/null; then \
	install="uv pip install --python $(1)/bin/python --no-deps --no-build-isolation"; \
else \
	install="$(1)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --use-pep517"; \
fi; \
locked="$$install --require-hashes"; \
$$locked -r requirements.build.lock; \
$$locked -r requirements.cpu.lock 2>$(1)/.no-cpu-build || $$locked -r requirements.cuda.lock; \
$$locked -r requirements.lock; \
$(if $(2),$$locked -r requirements.$(2).lock; )\
$$install -e .; \
$(1)/bin/python -m pip check --disable-pip-version-check
@touch $@
endef

LOCKS := $(addprefix requirements.,lock build.lock cpu.lock cuda.lock)
$(STAMP): pyproject.toml $(LOCKS)
	$(call install,.venv)

lock:  ## resolve all packages and write their versions and hashes (UPGRADE=1: the newest); needs uv
	$(PYTHON) .ci/lock.py $(if $(UPGRADE),--upgrade)

# Without --quiet: what that leaves unsaid is not counted as a fault either.
docs: .venv-docs/.installed  ## the site of the documents, built strictly into build/site: read build/site/index.html
	.venv-docs/bin/python docs/site/assemble.py
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --config-file build/mkdocs.yml
	@echo "site: build/site/index.html"

demo: $(STAMP)  ## the main job in small, about 6 minutes on 2 cores; run it again to resume
	$(BIN)/fada demo

demo-from-scratch: $(STAMP)  ## the same with a teacher of its own, trained from nothing, 13 minutes on 2 cores
	$(BIN)/fada demo --from-scratch

# A process for each processor, JOBS=3 for three, JOBS=0 for none; tests/conftest.py shares the tests out.
JOBS ?= auto
test: $(STAMP)  ## the tests: no GPU, no network, minutes
	$(BIN)/python -m pytest -q -n $(JOBS)

test-slow: $(STAMP)  ## the long tests
	$(BIN)/python -m pytest -q -m slow

# Extras that do not belong into one environment, each in its own, with the tests that need it.
test-extras: .venv-iqa/.installed .venv-syncnet/.installed .venv-ui/.installed .venv-trackers/.installed  ## tests with pyiqa, syncnet-python, the studio and experiment trackers, an environment for each
	.venv-iqa/bin/python -m pytest -q -m iqa tests/data/scores
	.venv-syncnet/bin/python -m pytest -q -m syncnet tests/data/scores
	.venv-ui/bin/python -m pytest -q -m ui tests/ui
	.venv-trackers/bin/python -m pytest -q -m trackers tests/engine

.venv-%/.installed: pyproject.toml $(LOCKS) requirements.%.lock
	$(call install,.venv-$*,$*)

soak: $(STAMP)  ## kill runs 20 times, a first one in every phase and one of two processes; each end must equal the unbroken run's
	$(BIN)/python tests/soak/soak.py --kills 20 --out runs/soak

FUZZ_COUNT ?= 10000
fuzz: $(STAMP)  ## damage recipes, lists, shards, clips, models and media, and read them: make fuzz MEDIA="videos/ speech.wav"
	$(BIN)/python tests/fuzz/fuzz_files.py --count $(FUZZ_COUNT) --keep runs/fuzz/files
	$(if $(MEDIA),$(BIN)/python tests/fuzz/fuzz_media.py --count 1000 --keep runs/fuzz/media $(MEDIA))

MUTANT_OPTIONS ?=
mutants: $(STAMP)  ## put faults into a copy of the code, one at a time: do the tests notice? MUTANT_OPTIONS="--only NAME"
	$(BIN)/python tests/mutants --page docs/results/mutants.md $(MUTANT_OPTIONS)

# The wheel is built from the unpacked source package: what lies about in build/ is in neither.
wheel: $(STAMP)  ## the package: dist/fada-*.tar.gz, and the wheel that is built from it
	rm -f dist/fada-*
	$(BIN)/python -c 'from setuptools import build_meta; build_meta.build_sdist("dist")' >/dev/null
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist dist/fada-*.tar.gz
	@ls dist/fada-*

check: $(STAMP)  ## format, lint, types, import rule
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p fada
	$(BIN)/lint-imports

format: $(STAMP)  ## put every file in the common form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

report: $(STAMP)  ## the demo's report again, from its finished run
	$(BIN)/fada bench recipes/tiny/demo.yaml

ablations: $(STAMP)  ## every row of the paper's ablations, 24 seeds each: many hours on 2 cores; run it again to resume
	OMP_NUM_THREADS=1 $(BIN)/fada ablate --jobs 2 --threads 1 --page docs/results/ablations.md
	$(BIN)/fada ablate --orders docs/results

exact: $(STAMP)  ## the same tables in a world whose teacher is a closed form, 48 seeds and more where undecided, under 45 minutes on one core
	OMP_NUM_THREADS=1 $(BIN)/fada ablate --world exact --page docs/results/exact.md

dropout: $(STAMP)  ## V-Express's conditional dropout and stages in the drawn world, 5 seeds per row, three quarters of an hour on two cores; run it again to resume
	OMP_NUM_THREADS=1 $(BIN)/python -m fada.studies.dropout.study --jobs 2 --page docs/results/v-express.md

float-ablations: $(STAMP)  ## the ablations of FLOAT's paper, 5 seeds per row, on the codec and clips of runs/float where it is finished, else on its own; run it again to resume
	OMP_NUM_THREADS=1 $(BIN)/python -m fada.studies.float.study --jobs 2 --threads 1 --page docs/results/float.md \
		$(if $(wildcard runs/float/teacher),--run runs/float)

bench: $(STAMP)  ## what a training step, a pass and a clip cost, the public way against ours: minutes on 2 cores
	$(BIN)/fada bench recipes/bench/tiny.yaml --speed --out runs/speed/tiny.json --overwrite \
		$(if $(wildcard runs/full/teacher),--model runs/full)
	$(BIN)/fada bench recipes/bench/mid.yaml --speed --rounds 3 --out runs/speed/mid.json --overwrite

# DRY=1: the same path on a CPU, with networks of a size that says nothing about speed.
GPU_OPTIONS := --device cuda --compile
DRY_OPTIONS := --device cpu --rounds 1 clip.size=32 clip.frames=2 teacher.network.channels=[8,16] \
	teacher.network.attention_levels=[true,true] teacher.network.temporal_levels=[true,true] \
	teacher.network.layers_per_block=1 teacher.network.norm_groups=4 teacher.network.heads=2 \
	vae.channels=[32,32,32,32] audio.kind=log_mel audio.path=null bench.teacher_steps=5
bench-gpu: $(STAMP)  ## the same at 512x512 on a GPU, with frames per second at 6 evaluations (DRY=1: small, on a CPU)
	$(BIN)/fada bench recipes/sd15/fast.yaml --speed --dtype bf16 --out runs/speed/gpu.json --overwrite \
		$(if $(DRY),$(DRY_OPTIONS),$(GPU_OPTIONS))

clean:  ## remove caches and builds; runs and .venv stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find fada teacher student eval tests -name __pycache__ -type d -prune -exec rm -rf {} +
