"""Where this repository is, for all links into it, and where its site is: nowhere, unless somebody
says so.

GitHub Actions says it in the environment; settings.ini may name another place as `git_url`, and
another host of the site as `doc_host`. Without an address there are no such links.
"""

import os
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import urlsplit

root = Path(__file__).parent.parent


def settings():
    "What settings.ini says, by key"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(root / 'settings.ini', encoding='utf-8')
    return dict(cfg['DEFAULT'])


def address():
    "The repository's address, or '' if it has none"
    server, name = os.getenv('GITHUB_SERVER_URL'), os.getenv('GITHUB_REPOSITORY')
    found = f'{server}/{name}' if server and name else settings()['git_url']
    return found.rstrip('/')


def link(path, view='blob'):
    "The address of a file in the repository, to read (blob) or to edit (edit), or ''"
    at = address()
    return at and f"{at}/{view}/{settings()['branch']}/{path}"


def colab(path):
    "The address that opens a notebook in Colab, which takes them from github.com alone, or ''"
    github, colab = 'https://github.com/', 'https://colab.research.google.com/github/'
    at = link(path)
    return at.replace(github, colab, 1) if at.startswith(github) else ''


def site():
    "The whole address of the site, with a slash at its end, or '' if nobody knows it"
    cfg = settings()
    if cfg['doc_host']:
        return f"{cfg['doc_host']}{cfg['doc_baseurl']}/"
    server, _, path = address().partition('://')[2].partition('/')
    owner, _, name = path.partition('/')
    if server != 'github.com' or not name:
        return ''
    host = f'{owner.lower()}.github.io'
    return f'https://{host}/' if name.lower() == host else f'https://{host}/{name}/'


def base():
    "The path that the site lies below on its server, with a slash at both ends"
    return urlsplit(site()).path or f"{settings()['doc_baseurl']}/"
