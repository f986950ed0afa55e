"""The picture that a link to a page brings along where it is posted: the page's title above the
final accuracies of our runs of each model, and in red those that the book prints."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

size = width, height = 1200, 630
models = ('LMModel4', 'LMModel5', 'LMModel6', 'LMModel7')
alt = (
    'The page’s title above four rows of dots, the final accuracies of our runs of each of the '
    'chapter’s models; red lines mark what the book prints'
)
paper, ink, muted, dot, red = '#ffffff', '#1b2a33', '#51626d', '#0b5c8a', '#c1121f'
column = 0.0045  # of accuracy: dots in it stand on each other


def stacked(values):
    "Where the dots of one model stand: `(accuracy, steps above or below the row)`"
    found, there = [], Counter()
    for value in sorted(values):
        at = round(value / column)
        n = there[at]
        there[at] += 1
        found.append((at * column, (n + 1) // 2 * (-1 if n % 2 else 1)))
    return found


def background():
    "The picture without a title, and the same in the few colours that a card has"
    from rnnlm.tables import published, reference

    fig = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=paper)
    ax = fig.add_axes([0.14, 0.125, 0.81, 0.46])
    seeds = set()
    for row, model in enumerate(models):
        runs = reference(model)
        seeds.add(runs.seed.nunique())
        final = runs[runs.epoch == runs.epoch.max()].accuracy
        x, y = zip(*stacked(final))
        # the tallest column of all has to fit between two rows
        steps = [-row + 0.042 * o for o in y]
        ax.scatter(x, steps, s=13, color=dot, linewidths=0)
        printed = published(model).accuracy.iloc[-1]
        ax.plot([printed] * 2, [-row - 0.46, -row + 0.46], color=red, linewidth=3)
    ax.set_yticks([-i for i in range(len(models))], models, color=ink, fontsize=14)
    ax.set_ylim(-len(models) + 0.5, 0.5)
    ax.xaxis.set_major_formatter(lambda x, _: f'{100 * x:.0f} %')
    ax.tick_params(length=0, labelcolor=ink, labelsize=14, pad=8)
    ax.spines[:].set_visible(False)
    ax.grid(axis='x', color='#e3e8eb')
    ax.set_axisbelow(True)
    (n,) = seeds  # as many of each
    about = f'Final accuracy of {n} runs of each model of the chapter. In red: the one it prints.'
    fig.text(0.05, 0.035, about, fontsize=14, color=muted)
    made = BytesIO()
    fig.savefig(made, format='png', facecolor=paper)
    picture = Image.open(made).convert('RGB')
    # few colours make a small file, and the letters of the title have those of the other letters
    return picture, picture.quantize(48, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def font(name, points):
    "One of the fonts that come with matplotlib"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / f'fonts/ttf/{name}.ttf', points)


def wrapped(title, letters, room):
    "The lines that `title` takes in these letters"
    lines = ['']
    for word in title.split():
        longer = f'{lines[-1]} {word}'.strip()
        if letters.getlength(longer) > room and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def card(picture, colours, title, project):
    "A copy of the `picture` with the project's name and a page's title above the dots"
    made = picture.copy()
    draw = ImageDraw.Draw(made)
    draw.rectangle((0, 0, width, 12), fill=dot)
    draw.text((60, 42), project, font=font('DejaVuSans-Bold', 30), fill=dot)
    for points in (64, 54, 44, 36):
        letters = font('DejaVuSans-Bold', points)
        lines = wrapped(title, letters, width - 120)
        if len(lines) < 3 and max(map(letters.getlength, lines)) <= width - 120:
            break
    for i, line in enumerate(lines):
        draw.text((60, 96 + i * points * 1.2), line, font=letters, fill=ink)
    return made.quantize(palette=colours, dither=Image.Dither.NONE)


def name(page):
    "The picture's address below the site's"
    return f'_static/cards/{page.replace("/", "-")}.png'


def tags(page, at):
    "What a page's head says of its picture, if the site has an address: previews want a whole one"
    if not at:
        return []
    return [
        ('property', 'og:url', f'{at}{page}.html'),
        ('property', 'og:image', at + name(page)),
        ('property', 'og:image:width', str(width)),
        ('property', 'og:image:height', str(height)),
        ('property', 'og:image:alt', alt),
        ('name', 'twitter:card', 'summary_large_image'),
    ]


def draw(out, titles, project):
    "A picture for each page of `titles` that has none yet in the folder `out`"
    (Path(out) / '_static/cards').mkdir(parents=True, exist_ok=True)
    todo = {Path(out) / name(page): title for page, title in sorted(titles.items())}
    todo = {path: title for path, title in todo.items() if not path.exists()}
    if todo:
        made = background()
    for path, title in todo.items():
        card(*made, title, project).save(path)
