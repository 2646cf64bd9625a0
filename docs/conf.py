"""How Sphinx builds these pages: offline, every warning an error, no reference that leads nowhere."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import entra_async

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "entra_async"
copyright = "the entra_async authors"  # noqa: A001 - Sphinx's name for it
version = release = entra_async.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"entra_async {release}"

myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False  # what a Returns section says is prose
napoleon_custom_sections = [("Source", "notes_style"), ("Sources", "notes_style")]

# Other projects' inventories would have to be downloaded, so what they define cannot be linked to. Our own names can:
# a reference to one that is not documented stays an error.
_ELSEWHERE = (
    "datetime",
    "aiohttp",
    "asyncio",
    "azure",
    "collections",
    "cryptography",
    "decimal",
    "enum",
    "multidict",
    "logging",
    "msgspec",
    "os",
    "pathlib",
    "ssl",
    "typing",
    "uuid",
)
nitpick_ignore_regex = [
    (r"py:.*", rf"({'|'.join(_ELSEWHERE)})\..*"),
    (r"py:.*", rf"({'|'.join(dir(builtins))}|types\.\w+)"),
    # Sphinx does not find the home of what a module imports for type checkers only.
    (r"py:class", r"[A-Z]\w*|x509\.\w+"),
    (r"py:class", r"entra_async\.[\w.]+\.\w+Options"),  # keyword arguments, which each method describes itself
    (r"py:class", r"entra_async\.credentials\.provider\.SignInContext"),  # what a Session lends; nobody else makes one
    (r"py:class", r"entra_async\.[\w.]+\.(T|GivenT|ResultT)"),  # type variables
    (r"py:class", r"entra_async\.transport\.http\.streams\.BodyStream"),  # what download() reads; nobody else gets one
    (r"py:attr", r"delta_reset|url"),  # described in the Attributes section of their class, which is no target
    (r"py:class", r"tuple\[(str|int)"),  # Sphinx cuts "tuple[str, ...]" at its comma
]


def restore_prose(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Put back what napoleon took for a property's type because a colon followed; the annotation has the type."""
    for number, line in enumerate(lines if what == "property" else []):
        if line.startswith(":type: "):
            lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"
            del lines[number]
            return


def setup(app: Sphinx) -> None:
    """Come after napoleon, which has the default priority of 500."""
    app.connect("autodoc-process-docstring", restore_prose, priority=600)
