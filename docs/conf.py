"""The documentation site: ``make docs`` writes it to docs/_build, and fails at a broken link or reference."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reference_pages

import tailboard

project = "tailboard"
author = "The tailboard developers"
release = version = tailboard.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a report prints its tables under headings of its own level
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
copybutton_prompt_text = "$ "
html_theme = "pydata_sphinx_theme"
html_title = "tailboard"
html_theme_options = {"navigation_with_keys": False, "navbar_center": [], "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"**": ["globaltoc.html"]}
html_show_sourcelink = False
smartquotes = False  # two hyphens are an option's


def setup(app):
    """Write the reference from the code before the pages are read."""
    app.connect("builder-inited", lambda app: reference_pages.write(Path(app.srcdir) / "reference"))
