"""How Sphinx builds the site from the notebooks that nbdev has processed into _proc/ (`make docs`)."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project, author, copyright = 'rnnlm', 'the rnnlm maintainers', '2026, the rnnlm maintainers'
extensions = ['myst_nb', 'sphinx_external_toc']
external_toc_path = '_toc.yml'
exclude_patterns = ['**.ipynb_checkpoints']

nb_custom_formats = {'.ipynb': 'cells.read'}
nb_render_markdown_format = 'gfm'
nb_execution_mode = 'off'
nb_mime_priority_overrides = [('html', 'image/svg+xml', 0), ('html', 'text/html', 5)]
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'attrs_inline']
myst_heading_anchors = 4
suppress_warnings = ['mystnb.unknown_mime_type', 'misc.highlighting_failure']     # nbdev prints defaults by their repr

html_theme = 'sphinx_book_theme'
html_title = 'rnnlm'
html_theme_options = dict(show_toc_level=2, home_page_in_toc=True)
