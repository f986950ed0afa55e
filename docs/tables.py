"""How the tables that pandas makes are laid out on the site."""

import html
import re

digits = r'[\d.,]*\d(e[+-]?\d+)?'
number = re.compile(
    rf'([<>≤≥≈~+−-]?{digits}( ?%)?( ?± ?{digits})?|nan|<na>|none|-?inf|–|)', re.IGNORECASE
)


def row(text, tag):
    "The cells of a row of a table"
    return re.findall(rf'<{tag}[^>]*>(.*?)</{tag}>', text, re.S)


def plain(cell):
    "What one sees of a cell"
    return html.unescape(re.sub(r'<[^>]+>', '', cell)).strip()


def words_left(text):
    """A data frame in HTML, with the columns that hold words marked as such. pandas sets all of
    them flush right, which is for numbers"""
    if 'class="dataframe"' not in text or '<tbody>' not in text:
        return text
    head, body = text.split('<tbody>', 1)
    rows = [row(o, 'td') for o in re.findall(r'<tr[^>]*>(.*?)</tr>', body, re.S)]
    width = max(map(len, rows), default=0)
    words = [
        any(not number.fullmatch(plain(o[i])) for o in rows if i < len(o)) for i in range(width)
    ]

    def marked(columns, tag):
        "Marks the cells of a row one after the other"
        at = iter(columns)
        return lambda m: f'<{tag} class="words">' if next(at, False) else f'<{tag}>'

    def in_rows(part, tag, columns):
        return re.sub(
            r'<tr[^>]*>.*?</tr>',
            lambda m: re.sub(f'<{tag}>', marked(columns, tag), m[0]),
            part,
            flags=re.S,
        )

    # in the head the cells of the index come first; where one stands over two columns, it stays
    index = max(len(row(o, 'th')) for o in re.findall(r'<tr[^>]*>.*?</tr>', head, re.S)) - width
    if 'colspan' not in head:
        head = in_rows(head, 'th', [False] * index + words)
    return f"{head}<tbody>{in_rows(body, 'td', words)}"
