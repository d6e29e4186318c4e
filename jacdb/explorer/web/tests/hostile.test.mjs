// Names from a stranger's dataset stay text, wherever they are shown, and are data to SQL.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { expected, launch, open, scrub } from './browser.mjs';

test('hostile names stay text', async () => {
  const browser = await launch();
  after(() => browser.close()); // of a test that fails, too: an open browser would be waited for
  const seen = { urls: [], parts: [], complaints: [] };
  const page = await open(browser, '', seen);
  await page.evaluate(() => window.jacdbExplorer.app.store.set({ entry: { jacobian: 'state', row: 0, col: 1 }, pane: 'entry' }));
  await page.waitForFunction((name) => document.querySelector('.entry h3').textContent.includes(name), expected.names[0]);
  await labelsHavePlace(page);
  await matrixIsSeen(page);
  for (const title of ['Table', 'Filter', 'Views']) await page.getByRole('tab', { name: title }).click();
  for (const view of ['axes', 'entry_zero_fraction', 'sparsity_by_constraint']) {
    // what it says of the view before would pass for the answer, and the tab be left before it asks
    await page.evaluate(() => { document.querySelector('#panel-views [role=status]').textContent = ''; });
    await page.selectOption('#panel-views select', view);
    await page.waitForFunction(() => /^[0-9,]+ row/.test(document.querySelector('#panel-views [role=status]').textContent));
  }
  const text = await page.locator('#panel-views').textContent();
  await page.evaluate((where) => window.jacdbExplorer.app.store.set({ where, pane: 'filter' }), `list_contains(active, '${expected.active.replaceAll("'", "''")}')`);
  await page.waitForFunction((n) => document.querySelector('#panel-filter [aria-live]').textContent.startsWith(`${n} step`), expected.held);
  await scrub(page, 3);
  for (const name of expected.shown) await page.waitForFunction((name) => document.body.textContent.includes(name), name);
  assert.ok(text.length > 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('main img, header img, footer img, script:not([src])').count(), 0);
  assert.deepEqual(seen.complaints, []);
  assert.deepEqual([...new Set(seen.urls.filter((url) => url.startsWith('http')).map((url) => new URL(url).hostname))], ['127.0.0.1']);
});

/** However long names are, labels of the matrix do not lie over its titles, and keep the end that tells them apart. */
async function labelsHavePlace(page) {
  const [kept] = await Promise.all([page.waitForEvent('download'), page.locator('.pane-jacobian').getByRole('button', { name: 'SVG' }).click()]);
  const labels = await page.evaluate((svg) => {
    const holder = document.createElement('div');
    holder.append(document.importNode(new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement, true));
    document.body.append(holder);
    const found = [...holder.querySelectorAll('text')].map((text) => ({ text: text.textContent, box: text.getBoundingClientRect().toJSON() }));
    holder.remove();
    return found;
  }, await readFile(await kept.path(), 'utf8'));
  const box = (title) => labels.find(({ text }) => text === title).box;
  const names = labels.filter(({ text }) => !text.startsWith('∂'));
  assert.ok(names.every(({ box: { top } }) => top >= box('∂ state').bottom), JSON.stringify(labels));
  assert.ok(names.every(({ box: { left } }) => left >= box('∂ next state').right), JSON.stringify(labels));
  assert.equal(names.filter(({ text }) => /^n+…n+\.vel$/.test(text)).length, 2);
}

/** However long names are, their words leave the matrix free, and end in the value. */
async function matrixIsSeen(page) {
  const long = await page.evaluate(() => {
    const { store, shown } = window.jacdbExplorer.app;
    const { shape } = shown;
    const [row, col] = [[...Array(shape.rows).keys()], [...Array(shape.dState).keys()]].map((all, of) =>
      all.find((at) => shape[of ? 'colAxis' : 'rowAxis'](of ? at : at * shape.cols).name.length > 200));
    store.set({ entry: { jacobian: 'state', row, col } });
    return shape.rowAxis(row * shape.cols).name;
  });
  await page.waitForFunction((name) => document.querySelector('.pane-jacobian .words').textContent.includes(name), long);
  const [words, matrix, unseen] = await page.evaluate(() => {
    const span = document.querySelector('.pane-jacobian .words span');
    const of = (one) => one.getBoundingClientRect().toJSON();
    return [of(span), of(document.querySelector('.pane-jacobian .heatmap')), span.scrollHeight - span.scrollTop - span.clientHeight];
  });
  assert.ok(words.top >= matrix.bottom, JSON.stringify([words, matrix]));
  assert.ok(unseen < 2, `${unseen} pixels of words below the value`);
}
