"""The package itself: what it names, what it loads, what its help says, and the lock."""

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest
from fastcore.docments import docments
from packaging.requirements import Requirement
from packaging.version import Version

import rnnlm
from rnnlm.command_line import command, parser_of

root = Path(__file__).parent.parent
cfg = ConfigParser(delimiters=['='])
cfg.read(root / 'settings.ini', encoding='utf-8')
required = {o.name: o for o in map(Requirement, cfg['DEFAULT']['requirements'].split())}


# what it needs


def imported(path):
    "The packages that a module imports, in its functions too"
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {o.name.split('.')[0] for o in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split('.')[0])
    return found


def test_what_is_imported_is_named():
    paths = (root / 'rnnlm').rglob('*.py')
    others = set().union(*map(imported, paths)) - sys.stdlib_module_names - {'rnnlm'}
    # the first two come with the extra; the last comes with every notebook and is used only there
    assert others - {'dask', 'distributed', 'matplotlib_inline'} == set(required)


def locked():
    "Version and number of hashes of each package in the lock"
    text = (root / 'requirements.lock').read_text(encoding='utf-8')
    entries = re.split(r'\n(?=\S)', text.strip())
    found = {}
    for entry in entries:
        name, version = re.match(r'(\S+)==(\S+)', entry).groups()
        found[name] = Version(version), entry.count('--hash=sha256:')
    return found


def test_the_lock_has_what_is_needed_with_hashes():
    lock = locked()
    for name, requirement in required.items():
        assert lock[name][0] in requirement.specifier, name
    assert all(hashes for _, hashes in lock.values())
    assert 'setuptools' in lock, 'it builds the package'


def test_the_lock_is_what_the_reference_was_made_with():
    lock, (made,) = locked(), rnnlm.tables.provenance()['libraries']
    assert made == f"torch {lock['torch'][0]}, fastai {lock['fastai'][0]}"


def test_the_source_distribution_has_what_setup_reads():
    listed = (root / 'MANIFEST.in').read_text(encoding='utf-8')
    assert 'settings.ini' in listed
    assert (root / 'rnnlm/py.typed').exists()


# names


def test_importing_it_loads_next_to_nothing():
    program = 'import sys, rnnlm; print(sorted({"torch", "fastai", "numpy"} & {*sys.modules}))'
    program += '; rnnlm.LMModel7; print(sorted({"torch", "fastai"} & {*sys.modules}))'
    ran = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=root)
    assert ran.stdout.split('\n') == ['[]', "['torch']", ''], ran.stderr


def test_each_main_name_is_public_where_it_comes_from():
    for name, module in rnnlm.home_of.items():
        home = import_module(f'rnnlm.{module}')
        assert getattr(rnnlm, name) is getattr(home, name)
        assert name in home.__all__
        assert name in dir(rnnlm)


def test_star_import():
    names = {}
    exec('from rnnlm import *', names)
    assert set(rnnlm.home_of) <= set(names)


def test_modules_are_names_too():
    assert rnnlm.replicate is import_module('rnnlm.replicate')


def test_a_name_that_there_is_not():
    with pytest.raises(AttributeError, match=r"no attribute 'LMModel8'; dir\(rnnlm\) lists"):
        rnnlm.LMModel8


# help

modules = [o.name for o in pkgutil.walk_packages(rnnlm.__path__, 'rnnlm.') if '._' not in o.name]


@pytest.mark.parametrize('name', modules)
def test_help_shows_the_comments(name):
    "What fastcore reads from the comments stands in the docstring, if the parameters are our own"
    module = import_module(name)
    for one in getattr(module, '__all__', []):
        obj = getattr(module, one)
        if not callable(obj) or getattr(obj, '__module__', '') != name:
            continue
        maker = obj.__init__ if inspect.isclass(obj) else inspect.unwrap(obj)
        if not getattr(maker, '__module__', '').startswith('rnnlm') or not obj.__doc__:
            continue
        said = docments(inspect.unwrap(obj), args_kwargs=True)
        for parameter in inspect.signature(obj).parameters:
            if comment := said.get(parameter):
                # docments joins the lines above a parameter, too
                assert comment.split('\n')[-1].strip() in obj.__doc__, (one, parameter)


def test_how_a_section_reads():
    assert inspect.getdoc(rnnlm.LMModel6).endswith('''

Parameters
----------
vocab_sz : int
    Words in the vocabulary
n_hidden : int
    Width of embedding and states
n_layers : int
    LSTM layers''')


def described(source):
    "The docstrings of what a source defines, after `describe`"
    module = type(sys)('made_up')
    exec(source, vars(module))
    rnnlm.describe(module, ast.parse(source), source.splitlines())
    return module


def test_comments_that_belong_to_nobody():
    source = '\n'.join([
        'def f(a, b:int=(1,',
        '    2), # Of b',
        '    *rest, # Of rest',
        '    c=3, d=4, # Of d',
        '): # Of the result',
        '    "Do"',
        'def silent(a): # Of the result',
        '    "Do"',
        'def undocumented(a, # Of a',
        '): pass',
    ])
    made = described(source)
    assert made.f.__doc__ == (
        'Do\n\nParameters\n----------\na\nb : int = (1, 2)\n    Of b\nrest\n    Of rest\nc = 3\n'
        'd = 4\n    Of d'
    )
    assert made.undocumented.__doc__ is None


def test_methods_and_inherited_makers():
    source = '\n'.join([
        'class A:',
        '    "An A"',
        '    def __init__(self, a, # Of a',
        '    ):',
        '        pass',
        '    @classmethod',
        '    def make(cls, b, # Of b',
        '    ):',
        '        "Make it"',
        'class B(A):',
        '    "A B"',
    ])
    made = described(source)
    assert made.A.__doc__ == 'An A\n\nParameters\n----------\na\n    Of a'
    assert made.A.make.__doc__ == 'Make it\n\nParameters\n----------\nb\n    Of b'
    assert made.B.__doc__ == 'A B\n\nParameters\n----------\na\n    Of a'


def test_functions_that_are_patched_in():
    "As they are, and with options"
    assert 'PyTorch' in rnnlm.LSTMCell.from_torch.__doc__.partition('Parameters')[2]
    assert 'h : Tensor' in rnnlm.awd_lstm.Decoder.forward.__doc__


def test_the_package_says_what_it_is():
    assert rnnlm.__doc__.startswith('Language models on Human Numbers')


# commands


def greet(
    names: list,  # Whom to greet
    how_often: str = '1',  # 100 % whole
):
    "Say hello"
    return names, how_often


@pytest.mark.parametrize('flag', ['--how_often', '--how-often'])
def test_options_have_either_spelling(flag, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['greet', 'Ann', 'Bob', flag, '2'])
    assert command(greet)() == (['Ann', 'Bob'], '2')
    monkeypatch.setattr(sys, 'argv', ['greet'])
    assert command(greet)() == ([], '1')


def test_help_of_a_command():
    said = ' '.join(parser_of(greet).format_help().split())
    assert "100 % whole (default: '1')" in said and 'names Whom to greet' in said


def test_an_unknown_option_ends_with_status_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['greet', '--oft', '2'])
    with pytest.raises(SystemExit) as e:
        command(greet)()
    assert e.value.code == 2
    assert 'greet: error: unrecognized arguments: --oft\n' in capsys.readouterr().err


def test_the_scripts_that_settings_names_exist():
    for line in cfg['DEFAULT']['console_scripts'].split():
        name, _, place = line.partition('=')
        module, _, function = place.partition(':')
        made = getattr(import_module(module), function)
        assert made.__closure__[0].cell_contents.__name__ == name
