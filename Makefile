# Two commands for a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
SYSTEM := xvfb xauth libgl1 libegl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0 \
	libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libdbus-1-3 libfontconfig1 \
	libglib2.0-0

.PHONY: demo test lint docs clean

demo: .venv/demo
	$(BIN)/napari-alibi-seg demo --output demo

test: lint docs
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile
	QT_API=pyside6 PYTEST_QT_API=pyside6 OMP_NUM_THREADS=1 \
		$(BIN)/pytest --numprocesses 2 tests/gui/test_first_strokes.py

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/demo: .venv/created
	$(BIN)/pip install --quiet --no-compile --editable .
	touch $@

.venv/test: .venv/created
	sh tools/system-packages $(SYSTEM)
	$(BIN)/pip install --quiet --no-compile --editable '.[test,docs]'
	touch $@ .venv/demo

.venv/created: pyproject.toml
	$(PYTHON) -c 'import ensurepip' || sh tools/system-packages python3-venv
	$(PYTHON) -m venv .venv
	touch $@

clean:
	rm -rf .venv demo site
