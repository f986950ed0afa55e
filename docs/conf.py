"""How Sphinx builds the site from what pages.py has gathered in _proc/ (`make docs`)."""

import html
import importlib.util
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes

here = Path(__file__).parent
sys.path.insert(0, str(here))
import pages  # noqa: E402
import repository  # noqa: E402

cfg = repository.settings()
project, author, release, copyright = (
    cfg['lib_name'],
    cfg['author'],
    cfg['version'],
    cfg['copyright'],
)
extensions = [
    'myst_nb',
    'sphinx_external_toc',
    'sphinx_copybutton',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.linkcode',
    'api',
]
external_toc_path = '_toc.yml'
exclude_patterns = ['**.ipynb_checkpoints']

nb_custom_formats = {'.ipynb': 'cells.read'}
nb_render_markdown_format = 'gfm'
nb_execution_mode = 'off'
nb_code_prompt_show, nb_code_prompt_hide = 'Show the code', 'Hide the code'
nb_mime_priority_overrides = [('html', 'text/html', 5)]
nb_ipywidgets_js = {}  # they would come from another host, and no notebook has a widget
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'attrs_inline', 'fieldlist']
myst_heading_anchors = 4
suppress_warnings = [
    'mystnb.unknown_mime_type',
    'misc.highlighting_failure',
]  # nbdev prints defaults by their repr

autodoc_default_options = {'show-inheritance': True, 'member-order': 'bysource', 'no-value': True}
autodoc_typehints, autodoc_typehints_format, autodoc_typehints_description_target = (
    'both',
    'short',
    'documented',
)
autodoc_inherit_docstrings, autosummary_generate = False, False
add_module_names = False
python_display_short_literal_types = True
python_maximum_signature_line_length = 70
toc_object_entries_show_parents = 'hide'

# MathJax from PyPI, as one file: with its letters in it, it asks for no other, which a browser
# would not give to a page from a disk.
mathjax = (
    Path(importlib.util.find_spec('sphinx-mathjax-offline').origin).parent
    / 'static/mathjax/tex-svg-full.js'
)
mathjax_path = mathjax.name
mathjax3_config = dict(options=dict(enableMenu=False))
copybutton_selector = ', '.join(
    f'div.{o} pre'
    for o in (
        'cell_input div.highlight',
        'highlight-bash',
        'highlight-python',
        'highlight-bibtex',
    )
)

html_theme = 'sphinx_book_theme'
html_title = cfg['title']
html_favicon = '_static/favicon.svg'
html_context = dict(default_mode='auto')
html_domain_indices = False
html_search_scorer = str(here / 'scorer.js')
html_static_path = ['_static', str(mathjax), str(pages.out / '_static')]
html_css_files = ['palette.css', 'figures.css', 'site.css']
html_js_files = ['site.js', 'figures.js', 'tables.js']
html_baseurl = f"{cfg['doc_host']}{cfg['doc_baseurl']}/" if cfg['doc_host'] else ''
html_theme_options = dict(
    navbar_persistent=[],
    article_header_end=['article-header-buttons.html'],
    show_toc_level=2,
    home_page_in_toc=True,
    use_download_button=False,
    use_fullscreen_button=False,
    pygments_light_style='a11y-high-contrast-light',
    pygments_dark_style='a11y-high-contrast-dark',
)


def linkcode_resolve(domain, info):
    "The address of the lines that define a thing of the API, or None"
    found = pages.api.source(domain, info)
    return found and repository.link(found) or None


def origin(page):
    "The file of the repository that a page is made from"
    for module in pages.api.modules().values():
        if module.page == page:
            return f'nbs/{module.nb}.ipynb' if module.nb else module.path
    for path in (f'nbs/{page}.ipynb', f'docs/{page}.md', f'{page}.md'):
        if (pages.root / path).exists():
            return path
    return {'cite': 'CITATION.cff', 'reference': 'docs/api.py'}.get(page)


def buttons(app, page, template, context, doctree):
    "Edit, open in Colab, download: what the theme hides in menus, as far as there is an address"
    path = doctree is not None and origin(page)
    if not path:
        return

    def button(text, url, icon, label):
        return dict(type='link', text=text, tooltip=text, url=url, icon=icon, label=label)

    found = [button('Edit on GitHub', repository.link(path, 'edit'), 'fab fa-github', 'edit')]
    if path == f'nbs/{page}.ipynb':
        original = f"{context['pathto']('_sources', 1)}/{page}.ipynb"
        found += [
            button('Open in Colab', repository.colab(path), 'fas fa-play', 'colab'),
            button('Download notebook', original, 'fas fa-download', 'download'),
        ]
    context['header_buttons'] = [o for o in found if o['url']]


def signatures(app, page, template, context, doctree):
    """Long signatures have a line a parameter, for which Sphinx writes lists that are none: make
    them plain lines; what every class is built on is no news"""

    def plain(m):
        return (
            '<span>'
            + re.sub(r'<(/?)dd>', r'<\1span>', m[1]).replace(
                '<span><em', '<span class="sig-line"><em'
            )
            + '</span>'
        )

    if 'body' not in context:
        return
    body = re.sub(
        r'<p>Bases: <code[^>]*><span class="pre">object</span></code></p>', '', context['body']
    )
    context['body'] = re.sub(
        r'<dl>\s*((?:<dd><em class="sig-param.*?</dd>\s*)+)</dl>', plain, body, flags=re.S
    )


def described(app, page, template, context, doctree):
    "What search engines and link previews show: a page's claim, or else its first paragraph"
    said = doctree and next(
        (o for kind in (nodes.block_quote, nodes.paragraph) for o in doctree.findall(kind)), None
    )
    if not said:
        return
    text = ' '.join(said.astext().split())
    fields = [('name', 'description', text), ('property', 'og:description', text)]
    fields += [('property', 'og:title', context['title']), ('property', 'og:site_name', project)]
    tags = [f'<meta {k}="{name}" content="{html.escape(o)}">' for k, name, o in fields]
    context['metatags'] = context.get('metatags', '') + '\n'.join(tags)


def originals(app, error):
    """What is downloaded is the notebook of the repository, not the one that was processed for the
    site"""
    if error is not None:
        return
    nbs, there = pages.root / 'nbs', Path(app.outdir) / '_sources'
    for path in nbs.rglob('*.ipynb'):
        if (there / path.relative_to(nbs)).exists():
            shutil.copy(path, there / path.relative_to(nbs))


def setup(app):
    app.connect('html-page-context', buttons, priority=900)
    app.connect('html-page-context', signatures)
    app.connect('html-page-context', described)
    app.connect('build-finished', originals)
