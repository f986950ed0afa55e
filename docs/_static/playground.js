/* The playground's page: what you type, and how the model counts on from there. The arithmetic is
   in lstm.js, the count in counting.js. */
'use strict';
(() => {
  const element = name => document.getElementById(`play-${name}`);
  const form = document.getElementById('play');
  if (!form) return;

  function node(tag, className = '', textContent = '') {
    return Object.assign(document.createElement(tag), {className, textContent});
  }

  function verdict({ok, true: expected}) {
    if (ok === null) return 'nothing to compare with';
    return ok ? 'right' : `wrong: the count has “${expected}”`;
  }

  function likely({word, p}, before) {
    const percent = Counting.percent(p);
    const item = node('li');
    const button = node('button', '', word);
    button.type = 'button';
    button.style.setProperty('--p', `${100*p}%`);
    button.append(node('span', '', percent));
    button.setAttribute('aria-label', `${word}, ${percent}: go on with it`);
    button.addEventListener('click', () => {
      element('text').value = [...before, word].join(' ');
      run();
      element('text').focus();
    });
    item.append(button);
    return item;
  }

  function row(step, before) {
    const item = node('li', step.ok === false ? 'play-wrong' : '');
    const head = node('p', 'play-head');
    head.append(node('strong', '', step.word), node('span', 'play-verdict', verdict(step)));
    const five = node('ul', 'play-five');
    five.append(...step.five.map(one => likely(one, before)));
    item.append(head, five);
    return item;
  }

  // The text, and what the model adds
  function showLine(line, words, steps) {
    line.replaceChildren((words.length > 40 ? '… ' : '') + words.slice(-40).join(' '));
    for (const {word, ok} of steps) line.append(' ', node(ok === false ? 'mark' : 'b', '', word));
  }

  function run() {
    const text = element('text');
    const message = element('message');
    for (const name of ['line', 'steps']) element(name).replaceChildren();
    try {
      const {words, steps} = Counting.goOn(Counting.parse(text.value), element('n').valueAsNumber);
      text.removeAttribute('aria-invalid');
      message.className = '';
      message.textContent = Counting.summary(steps);
      showLine(element('line'), words, steps);
      steps.forEach((step, i) => {
        const added = steps.slice(0, i).map(({word}) => word);
        element('steps').append(row(step, [...words, ...added]));
      });
    } catch (error) {
      message.textContent = error.message;
      message.className = 'play-bad';
      text.setAttribute('aria-invalid', 'true');
    }
  }

  // our own messages
  form.noValidate = true;
  form.addEventListener('submit', event => {
    event.preventDefault();
    run();
  });
  // Enter runs it, and Shift+Enter begins a new line
  element('text').addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  for (const button of element('examples').querySelectorAll('button')) {
    button.addEventListener('click', () => {
      element('text').value = button.textContent;
      run();
    });
  }
  run();

  const lost = element('lost');
  const {words, steps} = Counting.goOn(Counting.parse(lost.dataset.text), 14);
  showLine(lost, words, steps);
})();
