# `make` alone says what there is. Everything it needs is installed by `make setup`.
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do command -v $$name && break; done)
VENV := .venv/bin
SETUP := $(PYTHON) .ci/setup.py
# The pure core is covered to the last branch; so is what reads other people's input: by tests with
# examples. What Hypothesis does takes more than twice as long when it is measured.
CORE := bot/rtc/*,bot/whiteboard/*,bot/config/*,bot/errors.py,bot/logs.py,bot/commands/*,bot/rooms/invites.py
CORE_TESTS := $(addprefix tests/unit/,whiteboard rtc config commands test_logs.py rooms/test_invites.py)
# What people speak in chaos and soak: PROFILE=legacy (by default), sticky or both.
PEOPLE := $(if $(PROFILE),--profile $(PROFILE))

# Without the cache every worker compiles all tests again, and every bot that is started all of bot.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check setup bench chaos chaos-jobs chaos-deliveries soak stack-up stack-down lock clean

help: ## what there is
	@echo "boardkeeper: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## the bot at work on real servers here, with two simulated people (KEEP=1: leave it running)
	@$(SETUP) demo
	@$(VENV)/python -m tests.demo $(if $(KEEP),--keep)

test: setup check ## everything that CI runs: check, then the bot from outside on real servers
	.ci/system.sh

check: ## format, lint, types, unit tests; about two minutes
	@$(SETUP) check
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/mypy setup.py # apart: .ci/setup.py is a module of the same name
	$(VENV)/codespell
	$(VENV)/python -m pytest $(CORE_TESTS) -m 'not hypothesis and not no_cover' -n 2 --cov --cov-report=
	$(VENV)/coverage report --include='$(CORE)' --fail-under=100 --skip-covered --show-missing
	$(VENV)/python -m pytest $(CORE_TESTS) -m 'hypothesis or no_cover' -n 2 --hypothesis-profile=ci
	$(VENV)/python -m pytest tests/unit docs/examples tests/test_layers.py tests/test_scenarios.py $(CORE_TESTS:%=--ignore=%) -n 3 --hypothesis-profile=ci

setup: ## everything the other targets need, once (the Go build takes minutes)
	@$(SETUP) test

bench: ## measure against LiveKit's SDK, pycrdt, yjs; ONLY=merge: a part; writes build/bench.json
	@$(SETUP) test
	$(VENV)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

chaos: ## kill the bot (-9) KILLS=200 times on 10 boards, SEED=n, PROFILE=sticky|both; writes build/kills.json
	@$(SETUP) demo
	$(VENV)/python -m tests.chaos kills $(PEOPLE) $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS))

chaos-jobs: ## kill it KILLS=50 times amid restores, imports and clones, SEED=n; writes build/jobs.json
	@$(SETUP) demo
	$(VENV)/python -m tests.chaos jobs $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS))

chaos-deliveries: ## kill it KILLS=100 times amid webhook and relay, SEED=n; writes build/deliveries.json
	@$(SETUP) demo
	$(VENV)/python -m tests.chaos deliveries $(PEOPLE) $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS))

soak: ## 4 boards under Synapse's limits, 60 without, servers restarting; then each fault 20 times
	@$(SETUP) demo
	$(VENV)/python -m tests.chaos soak $(PEOPLE)
	$(VENV)/python -m tests.chaos recovery $(PEOPLE)

stack-up: ## Synapse, LiveKit and the JWT service on loopback, with logins to try
	@$(SETUP) demo
	@$(VENV)/python -m tests.stack up

stack-down: ## end them
	@$(VENV)/python -m tests.stack down

lock: ## newest allowed versions into .ci/locks and tests/peers
	@$(SETUP) test
	.ci/lock.sh

clean: ## remove what was built here (not the cache of servers)
	rm -rf .venv build dist *.egg-info tests/peers/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
