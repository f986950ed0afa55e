/* Reading a lesson: one button unfolds all of its code, and on paper everything is unfolded. */
'use strict';
addEventListener('DOMContentLoaded', () => {
  const folds = [...document.querySelectorAll('details.fold')];

  // What the reader chose holds for this page until the window is closed. Where a browser keeps
  // nothing for pages from a disk, it holds until the page is loaded again.
  const key = `folds ${location.pathname}`;
  const store = {
    get all() {
      try { return sessionStorage.getItem(key) === 'open'; } catch { return false; }
    },
    set all(open) {
      try { sessionStorage.setItem(key, open ? 'open' : 'folded'); } catch { /* not kept */ }
    },
  };

  function addButton() {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'fold-all';
    const label = () => {
      button.textContent = folds.every(fold => fold.open) ? 'Fold all code' : 'Unfold all code';
    };
    const setAll = open => folds.forEach(fold => { fold.open = open; });
    button.addEventListener('click', () => {
      const open = !folds.every(fold => fold.open);
      setAll(open);
      store.all = open;
    });
    for (const fold of folds) fold.addEventListener('toggle', label);
    if (store.all) setAll(true);
    label();
    const row = document.createElement('p');
    row.append(button);
    const first = document.querySelector('.bd-article h1');
    const lead = first.parentElement.querySelector('h1 + blockquote') ?? first;
    lead.after(row);
  }
  if (folds.length > 1) addButton();

  // Answers to exercises, too: nobody can click on paper.
  let unfolded = [];
  addEventListener('beforeprint', () => {
    unfolded = [...document.querySelectorAll('.bd-article details:not([open])')];
    for (const one of unfolded) one.open = true;
  });
  addEventListener('afterprint', () => {
    for (const one of unfolded) one.open = false;
  });
});
