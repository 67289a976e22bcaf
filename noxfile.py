"""The sessions: ``nox -l`` lists them, ``nox`` alone runs the quick ones."""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
# uv hard-links: torch is downloaded once, and each further environment costs seconds.
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "doctest"]

# Containers often forbid Python to keep what it compiles: each start would compile torch anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the package as it is in this folder, and groups of pyproject.toml."""
    wanted = nox.project.dependency_groups(PROJECT, *groups)
    session.install("--editable", ".", *wanted)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test but those that need a browser."""
    install(session, "test", "docs")
    # worksteal: some tests start processes, and take longer than many others together.
    arguments = ["-n", "auto", "--dist", "worksteal", "--ignore", "tests/site"]
    one_thread = {"OMP_NUM_THREADS": "1"}  # as many tests run at once as there are cores
    session.run("pytest", *arguments, *session.posargs, env=one_thread)


@nox.session
def crash(session: nox.Session) -> None:
    """Kill, damage and fill up in full; then do the same to the peers, and write the table."""
    install(session, "test")
    session.run("pytest", "tests/crash", "--full", *session.posargs)
    session.run("python", "-W", "ignore", "tests/crash/record.py")


RECIPES = [path.stem.removeprefix("with_") for path in sorted(Path("docs/trainers").glob("with_*"))]


@nox.session
@nox.parametrize("trainer", [nox.param(trainer, id=trainer) for trainer in RECIPES])
def trainers(session: nox.Session, trainer: str) -> None:
    """Train, save, read and resume with one trainer; write its row of docs/trainers.csv."""
    script = f"docs/trainers/with_{trainer}.py"
    session.install("--editable", ".", *nox.project.load_toml(script)["dependencies"])
    session.run("python", script, env={"OMP_NUM_THREADS": "1"})


@nox.session
def atlas(session: nox.Session) -> None:
    """Look at the optimizers of other packages; write docs/atlas.csv, and say what has changed."""
    script = "docs/atlas/measure.py"
    session.install("--editable", ".", *nox.project.load_toml(script)["dependencies"])
    session.run("python", script, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
@nox.parametrize("torch", [nox.param(one, id=one) for one in ("2.6", "2.9", "2.13", "newest")])
def versions(session: nox.Session, torch: str) -> None:
    """Run tests, examples and tutorials on one torch; write its row of docs/versions.csv."""
    chosen = [] if torch == "newest" else [f"torch=={torch}.*"]
    wanted = nox.project.dependency_groups(PROJECT, "test", "docs")
    session.install("--editable", ".", *wanted, *chosen)
    session.run("python", "docs/versions.py", env={"OMP_NUM_THREADS": "1"})


@nox.session
def doctest(session: nox.Session) -> None:
    """Run the examples in the docstrings, and those of the README."""
    install(session, "test")
    session.run("pytest", "--doctest-modules", "src", *session.posargs)
    session.run("pytest", "--doctest-glob=README*.md", "README.md", "README.zh-CN.md")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, imports, Chinese typography and workflows."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("python", "docs/_ext/typography.py")
    session.run("actionlint", *map(str, Path(".github", "workflows").glob("*.yml")))


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, and of calls as its users write them."""
    install(session, "types")
    session.run("mypy")


ENTRIES = (
    *("tests/canaries/test_torch_messages.py", "tests/canaries/test_symptoms.py"),
    *("tests/docs/test_recipes.py", "tests/inspection/test_codes.py"),
)
"""They run the code on the pages of messages, symptoms, recipes and codes, and read there what it prints."""
PRINTS = "prints_what or is_mended or removes_it"


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, both languages, if the code on its pages prints what they show."""
    install(session, "docs", "test")
    one_thread = {"OMP_NUM_THREADS": "1"}
    session.run("pytest", "-q", "-n", "auto", "-k", PRINTS, *ENTRIES, env=one_thread)
    session.run("python", "docs/_ext/publish.py", *session.posargs)


@nox.session
def serve(session: nox.Session) -> None:
    """Serve the site on 127.0.0.1, and build it again when a file changes."""
    install(session, "docs")
    session.run("python", "docs/_ext/publish.py", "--serve", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Read the built site in a real browser."""
    install(session, "site", "docs")
    # worksteal leaves tests beside each other, and so a page open for the next one.
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "tests/site", *session.posargs)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Run the notebooks of the built site, with nothing but what their first cell installs."""
    session.install("nbclient", "ipykernel", "pip", "torch", "matplotlib")
    # pip would keep an older wheel of the same version.
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", "optimkit")
    site, folder = Path("docs", "_build", "site"), Path(session.create_tmp())
    downloads = [*site.glob("en/_downloads/*/plot_*.ipynb"), *site.glob("wheels/*.whl")]
    if not downloads:
        session.error(f"there is no notebook in {site}: run nox -s docs first")
    for path in downloads:
        shutil.copy(path, folder)
    with session.chdir(folder):
        # One after the other: two kernels that start at once may choose the same port.
        for notebook in sorted(Path().glob("plot_*.ipynb")):
            session.run("jupyter", "execute", str(notebook))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the budgets: ratios taken in one run, medians."""
    install(session, "test", "docs")
    for script in session.posargs or sorted(map(str, Path("benchmarks").glob("bench_*.py"))):
        session.run("python", script)


@nox.session
def catalog(session: nox.Session) -> None:
    """Bring the Chinese catalog of the docstrings up to date with the docstrings."""
    install(session, "docs")
    folder = session.create_tmp()
    pages = map(str, Path("docs", "reference").glob("*.md"))
    session.run(
        *("sphinx-build", "-q", "-E", "-b", "gettext", "-D", "plot_gallery=0"),
        *("docs", folder, *pages),
    )
    for stray in set(Path(folder).glob("*.pot")) - {Path(folder, "reference.pot")}:
        stray.unlink()
    session.run(
        "sphinx-intl", "update", "-p", folder, "-d", "docs/locale", "-l", "zh_CN", "-w", "0"
    )


@nox.session
def linkcheck(session: nox.Session) -> None:
    """Ask every link to the outside whether it answers."""
    install(session, "docs")
    session.run("sphinx-build", "-q", "-b", "linkcheck", "docs", "docs/_build/linkcheck")
