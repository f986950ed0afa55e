"""Build the whole site into a folder, `_docs` unless named: `make docs`.

The notebooks, the API and Sphinx need the same imports, which take longer than the work that is
done with them. So one process imports them once, and two forks of it share what there is to do."""

import importlib
import shutil
import sys
import warnings
from pathlib import Path

# jsonschema would compile a grammar of web addresses, five seconds of work, for a check of
# notebooks that nobody asks for. Without this package it leaves the check out.
sys.modules['rfc3987_syntax'] = None

import api  # noqa: E402
import pages  # noqa: E402
from sphinx.cmd.build import main as sphinx  # noqa: E402


def main(out):
    # sphinx-external-toc looks at all objects there are; what torch says of its own is no news
    warnings.filterwarnings('ignore', category=FutureWarning, module='sphinx_external_toc')
    for folder in (pages.out, out):
        shutil.rmtree(folder, ignore_errors=True)
    sys.path.insert(0, str(pages.root))
    for name in api.modules():
        importlib.import_module(name)
    pages.main()
    options = ['-q', '-W', '--keep-going', '-E', '-j', '2', '-c', 'docs']
    doctrees = ['-d', str(pages.out / '.doctrees')]
    status = sphinx([*options, *doctrees, str(pages.out), str(out)])
    # what Sphinx builds again goes by it, but each build is a new one; it hashes our paths, too
    (out / '.buildinfo').unlink(missing_ok=True)
    return status


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else '_docs').resolve()))
