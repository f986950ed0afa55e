"""Where this repository is, for all links into it: nowhere, unless somebody says so.

GitHub Actions says it in the environment; settings.ini may name another place as `git_url`.
Without an address there are no such links.
"""

import os
from configparser import ConfigParser
from pathlib import Path

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
