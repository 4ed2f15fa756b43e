# The commands of README.md. Each first installs what this machine lacks (tools/setup), a tenth of a second if nothing.

# What was compiled is kept, so that each of many processes need not do it again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -o tmp_path_retention_policy=failed

.PHONY: help run test proof bench clean

help:
	@echo "make run     start OTB Cloud on this machine with a sample customer; Ctrl-C ends it"
	@echo "make test    every check at a short scale"
	@echo "make proof   the same tests at full scale; continues an interrupted run (FRESH=1 starts anew)"
	@echo "make bench   measure upload, download, zip and verify against a plain copy; bulk upload, zips, thumbnails, verify beside peers"
	@echo "make clean   remove what was installed and cached here; keeps .data"

# The signal lets all of it end even if this make is killed.
run:
	@tools/setup run
	@exec setpriv --pdeathsig TERM $(PYTHON) -m tools.run

test:
	@tools/setup test
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	@# The tests are compiled beside the types' check: four workers would each do it.
	$(PYTEST) --collect-only -qq >/dev/null & $(PYTHON) -m mypy && wait
	$(PYTEST) -n 4 --dist loadfile --no-loadscope-reorder

proof:
	@tools/setup test
	$(if $(FRESH),rm -rf .data/proof)
	$(PYTEST) --proof

bench:
	@tools/setup bench
	$(PYTHON) -m tests.bench
	$(PYTHON) -m tests.bench.peers
	$(PYTHON) -m tests.bench.verify
	$(PYTHON) -m tests.bench.thumbnails
	$(PYTHON) -m tests.bench.zip
	$(PYTHON) -m tests.bench.load

clean:
	rm -rf .venv .uv .mypy_cache .ruff_cache .hypothesis web/client *.egg-info web/browser/node_modules web/static/built
	find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +
	@echo "Kept: .data, which holds the database and the files of make run. To lose them for good: rm -rf .data"
