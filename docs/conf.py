"""How Sphinx builds the site from what pages.py has gathered in _proc/ (`make docs`)."""

import html
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes

here = Path(__file__).parent
sys.path.insert(0, str(here))
import cards  # noqa: E402
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
    'formulas',
    'icons',
    'lean',
    'minutes',
    'missing',
    'folds',
    'search',
]
templates_path = ['_templates']
external_toc_path = '_toc.yml'
exclude_patterns = ['**.ipynb_checkpoints']

nb_custom_formats = {'.ipynb': 'cells.read'}
nb_render_markdown_format = 'gfm'
nb_execution_mode = 'off'
nb_mime_priority_overrides = [('html', 'text/html', 5)]
nb_ipywidgets_js = {}  # they would come from another host, and no notebook has a widget
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'attrs_inline', 'fieldlist']
myst_heading_anchors = 4
myst_update_mathjax = False
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
html_math_renderer = 'mathml'
html_additional_pages = {'404': '404.html', 'search': 'search.html'}
# the weights of the playground's model ship with the package, whose command needs them too
html_static_path = ['_static', str(pages.out / '_static'), '../rnnlm/tables/lmmodel7.js']
html_css_files = ['palette.css', 'figures.css', 'site.css', 'reading.css']
html_js_files = [
    *('site.js', 'reading.js', 'figures.js', 'tables.js'),
    ('search.js', {'defer': 'defer'}),
]
html_baseurl = repository.site()
html_theme_options = dict(
    navbar_persistent=[],
    article_header_end=['article-header-buttons.html'],
    show_toc_level=2,
    home_page_in_toc=False,
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


# What pages that no file of ours is made into are called, and what they are for
made_by_sphinx = {
    'genindex': ('Index', 'Every function, class and constant of rnnlm, from A to Z.'),
    'search': ('Search', 'Search the course on LSTMs, its replication and the reference of rnnlm.'),
    '404': ('There is no such page', 'This address leads nowhere: search, or start at the top.'),
}


def title(app, page):
    "A page's title as it is shown by browsers and previews, without the site's name"
    if page in made_by_sphinx:
        return made_by_sphinx[page][0]
    if page == app.config.root_doc:
        return cfg['description'].split(':')[0]
    for module in pages.api.modules().values():
        if module.page == page and module.title:
            return f'{module.name}, from “{module.title}”'
    return app.env.titles[page].astext()


def claim(app, page, doctree):
    """What a page is about: the claim at its top, or else its first paragraph. A page of the
    reference has its lesson's claim, so it says what it holds as well"""
    if doctree is None:
        return made_by_sphinx[page][1] if page in made_by_sphinx else ''
    kinds = nodes.block_quote, nodes.paragraph
    said = next((o for kind in kinds for o in doctree.findall(kind)), None)
    text = ' '.join(said.astext().split()) if said else ''
    for module in pages.api.modules().values():
        if module.page == page:
            return f"{', '.join(module.all)}. {text}"
    return text


def described(app, page, template, context, doctree):
    "The title, and what search engines and link previews show"
    name = title(app, page) if page in made_by_sphinx or doctree else context.get('title', page)
    context['page_title'] = f'{name} · {project}'
    text = claim(app, page, doctree)
    if not text:
        return
    fields = [('name', 'description', text), ('property', 'og:description', text)]
    fields += [('property', 'og:title', name), ('property', 'og:site_name', project)]
    fields += cards.tags(page, repository.site()) if doctree else []
    tags = [f'<meta {kind}="{key}" content="{html.escape(o)}">' for kind, key, o in fields]
    context['metatags'] = context.get('metatags', '') + '\n'.join(tags)


def previews(app, error):
    "A picture of each page for those who are sent a link to it, if the site has an address"
    if error is None and repository.site():
        cards.draw(app.outdir, {o: title(app, o) for o in app.env.found_docs}, project)


def originals(app, error):
    """What is downloaded is the notebook of the repository, not the one that was processed for the
    site"""
    if error is not None:
        return
    nbs, there = pages.root / 'nbs', Path(app.outdir) / '_sources'
    for path in nbs.rglob('*.ipynb'):
        if (there / path.relative_to(nbs)).exists():
            shutil.copy(path, there / path.relative_to(nbs))


def with_widgets(app, env, added, changed, removed):
    "The notebooks that hold a file of docs/widgets, which Sphinx can't see change"

    def holds(page):
        text = Path(env.doc2path(page)).read_text(encoding='utf-8')
        return re.search(r'(<!--|#\|) widget: ', text)

    return [o for o in env.found_docs if holds(o)]


def setup(app):
    # it numbers sections once all pages are read, but does not say that it bears two readers
    app.extensions['sphinx_multitoc_numbering'].parallel_read_safe = True
    app.connect('env-get-outdated', with_widgets)
    app.connect('html-page-context', buttons, priority=900)
    app.connect('html-page-context', signatures)
    # after the theme, which calls the home page by its title
    app.connect('html-page-context', described, priority=900)
    app.connect('build-finished', originals)
    # after lean.py has removed what no page shows, since these are for other programs
    app.connect('build-finished', previews, priority=960)
