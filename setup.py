"""Package metadata, all of it read from settings.ini: change it there."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

cfg = ConfigParser(delimiters=['='])
cfg.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
dev = [o for kind in ('dev', 'dask', 'docs') for o in cfg[f'{kind}_requirements'].split()]

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=Path('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    url=cfg['git_url'] or None,
    license='Apache-2.0',
    keywords=cfg['keywords'],
    packages=['rnnlm', 'rnnlm.replicate'],
    package_data={'rnnlm': ['py.typed', 'tables/*'], 'rnnlm.replicate': ['*.html', '*.md']},
    python_requires='>=' + cfg['min_python'],
    install_requires=cfg['requirements'].split(),
    extras_require={
        'dask': cfg['dask_requirements'].split(),
        'wasm': cfg['wasm_requirements'].split(),
        'dev': dev,
    },
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
    },
    classifiers=['Development Status :: 4 - Beta', f"Intended Audience :: {cfg['audience']}",
                 *(f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)),
                 'Typing :: Typed',
                 'Topic :: Scientific/Engineering :: Artificial Intelligence'],
)
