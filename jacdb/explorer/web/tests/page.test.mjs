// The page over a dataset: what it writes is what jacdb's SQL says, and where it shows the robot is where MuJoCo has it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { expected, hash, launch, open, scrub, shown } from './browser.mjs';

let browser;
const seen = { urls: [], parts: [], complaints: [] };
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

/** Return what the page writes of an entry that is chosen. */
async function written(page, { jacobian, row, col }) {
  await page.evaluate((entry) => window.jacdbExplorer.app.store.set({ entry, pane: 'entry' }), { jacobian, row, col });
  await page.waitForFunction(({ row, col, jacobian }) => {
    const { shape } = window.jacdbExplorer.app.shown;
    const at = shape.place(jacobian, row, col);
    const name = `∂ ${shape.rowAxis(at).name} / ∂ ${shape.colAxis(at).name}`;
    return document.querySelector('.entry h3').textContent === name;
  }, { jacobian, row, col });
  return page.locator('.entry .value').textContent();
}

test('every entry is written as SQL has it, to the last digit shown', async () => {
  const page = await open(browser, hash({ env: expected.values[0].env }), seen);
  let env = expected.values[0].env;
  for (const one of expected.values) {
    if (one.env !== env) {
      await page.selectOption('#choose-env', one.env);
      await shown(page, one.env);
      env = one.env;
    }
    await page.evaluate((episode) => window.jacdbExplorer.app.store.set({ episode }), one.episode);
    await page.waitForFunction((episode) => window.jacdbExplorer.app.shown.episode.number === episode, one.episode);
    await scrub(page, one.step);
    const text = await written(page, one);
    const number = /: (−?[0-9.]+(?:e-?[0-9]+)?)/.exec(text)?.[1].replace('−', '-');
    assert.equal(Number(number), Number(one.value.toPrecision(7)), `${JSON.stringify(one)}: ${text}`);
  }
  await page.close();
});

test('the keyboard reads the matrix: words and announcement are what SQL has', async () => {
  const one = expected.values[0];
  const page = await open(browser, hash({ env: one.env, run: one.run, episode: one.episode, step: one.step }), seen);
  const map = page.locator('.heatmap').first();
  await map.focus();
  // the first press puts the cursor on the first entry; columns of actions follow those of the state
  await map.press('ArrowDown');
  for (let at = 0; at < one.row; at++) await map.press('ArrowDown');
  const columns = await page.evaluate(({ jacobian, row, col }) => {
    const { shape } = window.jacdbExplorer.app.shown;
    return shape.place(jacobian, row, col) % shape.cols;
  }, one);
  for (let at = 0; at < columns; at++) await map.press('ArrowRight');
  const wanted = String(Number(one.value.toPrecision(7))).replace(/^-/, '−');
  for (const place of ['.pane-jacobian .words', '#page > [aria-live]']) {
    await page.waitForFunction(({ place, wanted }) => / = ([^ ;]+)/.exec(document.querySelector(place).textContent)?.[1] === wanted, { place, wanted });
  }
  await map.press('Enter');
  await page.waitForFunction(({ jacobian, row, col }) => location.hash.includes(new URLSearchParams({ entry: `${jacobian},${row},${col}` })), one);
  await page.close();
});

test('where the hand first touches the box, the block of both fills', async () => {
  const { env, run, episode, before, touch, name, rows, cols } = expected.touch;
  const page = await open(browser, hash({ env, run, episode, step: before }), seen);
  const filled = () => page.evaluate(({ rows, cols }) => {
    const { app } = window.jacdbExplorer;
    const zeros = app.shown.episode.zeros(app.store.state.step);
    return rows.flatMap((row) => cols.map((col) => zeros[app.shown.shape.entry(row, col)])).filter((zero) => !zero).length;
  }, { rows, cols });
  assert.equal(await filled(), 0);
  await scrub(page, touch);
  assert.ok(await filled() > 0);
  assert.ok((await page.locator('.pane-robot .words').textContent()).includes(name));
  await page.close();
});

test('the robot stands where MuJoCo has it', async () => {
  for (const { env, run, episode, step, positions } of expected.poses) {
    const page = await open(browser, hash({ env, run, episode, step }), seen);
    await page.waitForFunction(() => window.jacdbExplorer.geomPositions());
    const found = await page.evaluate(() => window.jacdbExplorer.geomPositions());
    assert.equal(found.length, positions.length);
    const apart = Math.max(...found.flatMap((point, at) => point.map((value, k) => Math.abs(value - positions[at][k]))));
    assert.ok(apart < 1e-6, `${env}: ${apart} m apart`);
    await page.close();
  }
});

test('shares of zeros are of the whole run, within a run compared by episode', async () => {
  const { env, run, row, col, share, here } = expected.shares;
  assert.notEqual(share, here);
  const compare = [env, run].map(encodeURIComponent).join(',') + ',1';
  const page = await open(browser, hash({ env, run, episode: 0, entry: `state,${row},${col}`, pane: 'compare', compare, colour: 'share' }), seen);
  const written = (part) => `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
  await page.waitForFunction((text) => document.querySelector('.pane-jacobian .words').textContent.endsWith(text), `; zero in ${written(share)} of the run's steps`);
  await page.waitForFunction((text) => document.querySelector('#panel-compare .quiet:last-child').textContent.includes(text), `: ${written(here)} here,`);
  await page.close();
});

test('the view fits each episode that is chosen, unless someone has turned it', async () => {
  const { env, run, episode, step } = expected.poses[0];
  const there = await open(browser, hash({ env, run, episode, step }), seen);
  const view = async (page) => {
    await page.waitForFunction(() => window.jacdbExplorer.view());
    return page.evaluate(() => window.jacdbExplorer.view());
  };
  const wanted = await view(there);
  await there.close();
  const page = await open(browser, hash({ env, run, episode: episode + 1, step }), seen);
  const first = await view(page);
  const choose = async (number) => {
    await page.evaluate(({ episode, step }) => window.jacdbExplorer.app.store.set({ episode, step }), { episode: number, step });
    await page.waitForFunction((number) => window.jacdbExplorer.app.shown.episode.number === number, number);
  };
  const apart = (one, other) => Math.max(...one.map((value, at) => Math.abs(value - other[at])));
  assert.ok(apart(first, wanted) > 1e-3);
  await choose(episode);
  await page.waitForFunction((wanted) => window.jacdbExplorer.view().every((value, at) => Math.abs(value - wanted[at]) < 1e-6), wanted);
  await page.locator('.pane-robot .stage').press('+');
  const arm = (one) => Math.hypot(...[0, 1, 2].map((at) => one[at] - one[at + 3]));
  const nearer = arm(await view(page));
  assert.ok(nearer < 0.95 * arm(wanted));
  await choose(episode + 1);
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.ok(Math.abs(arm(await view(page)) - nearer) < 1e-6);
  await page.close();
});

test('on a phone nothing is wider than the page, and a finger finds what can be pressed', async () => {
  for (const pane of ['entry', 'block', 'graph', 'compare', 'filter', 'views']) {
    const page = await open(browser, hash({ env: expected.touch.env, pane }), seen, { width: 390, height: 844 });
    const found = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      small: [...document.querySelectorAll('button, select, input')].filter((one) => {
        const { width, height } = one.getBoundingClientRect();
        return width > 0 && !one.closest('table, .companions, .examples') && (height < 40 || width < 40);
      }).map((one) => one.outerHTML),
    }));
    assert.deepEqual(found, { width: 390, small: [] }, pane);
    await page.close();
  }
});

test('a link shows the same to whoever opens it', async () => {
  const { env, episode, step } = expected.values[0];
  const page = await open(browser, '', seen);
  await page.selectOption('#choose-env', env);
  await shown(page, env);
  await page.selectOption('#choose-episode', String(episode));
  await page.waitForFunction((number) => window.jacdbExplorer.app.shown.episode.number === number, episode);
  await scrub(page, step);
  await page.selectOption('.pane-jacobian select', 'zero');
  const text = await written(page, { jacobian: 'action', row: 1, col: 0 });
  await page.waitForFunction((to) => location.hash.includes(`step=${to}`) && location.hash.includes('entry='), step);
  const link = new URL(page.url()).hash;
  await page.close();
  const other = await open(browser, link, seen);
  assert.equal(await other.inputValue('#choose-env'), env);
  assert.equal(await other.inputValue('#choose-episode'), String(episode));
  assert.equal(await other.inputValue('.player input'), String(step));
  assert.equal(await other.inputValue('.pane-jacobian select'), 'zero');
  await other.waitForFunction((said) => document.querySelector('.entry .value').textContent === said, text);
  await other.close();
});

test('a click chooses an entry, keys move, a condition is counted, a wrong one is told', async () => {
  const { env, where, here } = expected.filter;
  const page = await open(browser, hash({ env }), seen);
  await page.locator('.heatmap').first().click();
  await page.waitForFunction(() => location.hash.includes('entry='));
  await page.locator('.heatmap').first().press('ArrowDown');
  await page.locator('.heatmap').first().press('Enter');
  await page.keyboard.press('.');
  await page.waitForFunction(() => window.jacdbExplorer.app.store.state.step === 1);
  await page.getByRole('tab', { name: 'Filter' }).click();
  await page.locator('textarea').fill(where);
  await page.locator('textarea').press('Enter');
  await page.waitForFunction((n) => document.querySelector('#panel-filter [aria-live]').textContent.startsWith(`${n} step`), here);
  await page.locator('textarea').fill('no_such_column > 1');
  await page.locator('textarea').press('Enter');
  await page.waitForFunction(() => /not used: .*no_such_column/.test(document.querySelector('.status').textContent));
  await page.close();
});

test('the Filter takes what --where takes, and refuses in one line', async () => {
  const { env } = expected.filter;
  const page = await open(browser, hash({ env, pane: 'filter' }), seen);
  const ask = async (where, told) => {
    await page.evaluate((where) => window.jacdbExplorer.app.store.set({ where }), where);
    await page.waitForFunction((told) => document.querySelector('.status').textContent === told, told);
  };
  for (const [where, kind] of [['1', 'INTEGER'], ["'text'", 'VARCHAR']]) {
    await ask(where, `The condition is not used: condition '${where}' is ${kind}, not true or false: compare, as in step < 20`);
  }
  await ask('foo bar', 'The condition is not used: Parser Error: syntax error at or near "bar"');
  await ask('a$b$ ; $b$', 'The condition is not used: a condition is one expression, such as: not in_contact');
  await page.evaluate(() => window.jacdbExplorer.app.store.set({ where: 'method <> $$);$$' }));
  await page.waitForFunction(() => /, [1-9][0-9,]* steps of the run/.test(document.querySelector('#panel-filter [aria-live]').textContent));
  await page.context().close();
});

test('where no step counts, nothing is said of what is zero', async () => {
  const { env } = expected.filter;
  const page = await open(browser, hash({ env, where: 'false' }), seen);
  const none = "No step counts: of the run's steps that meet the condition none is finite (free of NaN and infinity) and by an exact method (finite differences tell no zeros).";
  const said = page.locator('#panel-entry .quiet', { hasText: none });
  assert.equal(await said.filter({ visible: true }).count(), 1);
  await page.evaluate(() => window.jacdbExplorer.app.store.set({ entry: { jacobian: 'state', row: 0, col: 0 } }));
  await page.waitForFunction(() => location.hash.includes('entry='));
  assert.equal(await said.filter({ visible: true }).count(), 2);
  await page.context().close();
});

test('an entry is chosen by its names, and the page goes to the first step in which it is not zero', async () => {
  const { env, run, episode, touch, row, col } = expected.chosen;
  const page = await open(browser, hash({ env, run, episode }), seen);
  await page.getByLabel('Next state', { exact: true }).selectOption({ label: row });
  await page.getByLabel('By which state or action').selectOption({ label: col });
  await page.waitForFunction((name) => document.querySelector('.entry h3').textContent === name, `∂ ${row} / ∂ ${col}`);
  await page.getByRole('button', { name: `Go to step ${touch}, the first` }).click();
  await page.waitForFunction((step) => location.hash.includes(`step=${step}`), touch);
  assert.match(await page.locator('.entry').last().textContent(), /while this holds.*left_finger_pad touches box.*100 %/);
  await page.context().close();
});

test('the matrix keeps its place, however long the name under the pointer is', async () => {
  const { env, run, episode } = expected.chosen;
  const page = await open(browser, hash({ env, run, episode }), seen);
  const box = page.locator('.pane-jacobian .heatmap');
  const before = await box.boundingBox();
  const sizes = [];
  for (let at = 1; at < 20; at++) {
    await page.mouse.move(before.x + before.width / 2, before.y + (before.height * at) / 20);
    sizes.push((await box.boundingBox()).height);
  }
  assert.deepEqual([...new Set(sizes)], [before.height]);
  await page.context().close();
});

test('the graph has an edge from each body and each action to each body where an entry is as large as the threshold', async () => {
  const { env, run, episode, threshold, edges } = expected.graph;
  const page = await open(browser, hash({ env, run, episode, pane: 'graph', threshold }), seen);
  await page.locator('#panel-graph summary').click();
  await page.waitForFunction(() => document.querySelectorAll('#panel-graph tbody tr').length > 0);
  const found = await page.locator('#panel-graph tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent)));
  assert.deepEqual(found.map(String).sort(), edges.map(String).sort());
  await page.close();
});

test('two episodes are compared, entry by entry', async () => {
  const [one, two] = expected.compare;
  const { env, run, step, jacobian, row, col } = one;
  const compare = [env, run].map(encodeURIComponent).join(',') + `,${two.episode}`;
  const page = await open(browser, hash({ env, run, episode: one.episode, step, pane: 'compare', compare, entry: `${jacobian},${row},${col}` }), seen);
  const shownNumber = (value) => String(Number(value.toPrecision(7))).replace('-', '−');
  await page.waitForFunction((text) => document.querySelector('#panel-compare .quiet:last-child').textContent.endsWith(text),
    `: ${shownNumber(one.value)} here, ${shownNumber(two.value)} there`);
  await page.close();
});

test('each view in the page is what DuckDB answers', async () => {
  const page = await open(browser, '', seen);
  for (const { view, env, run, where, columns, rows } of expected.views) {
    const answer = await page.evaluate(async ({ view, env, run, where }) => {
      const { app } = window.jacdbExplorer;
      const opened = await app.openRun(env, run);
      const { columns, rows } = await app.database.view(view, opened.run, opened.file, where);
      const plain = (value) => (typeof value === 'bigint' ? String(value) : Array.isArray(value) ? value.map(plain) : value ?? null);
      return { columns, rows: rows.map((row) => row.map(plain)) };
    }, { view, env, run, where });
    assert.deepEqual(answer.columns, columns, view);
    compare(answer.rows, rows, `${view} of ${env} where ${where || 'true'}`);
  }
  await page.close();
});

test('no request left this machine, parts came by ranges, nothing complained', () => {
  const hosts = new Set(seen.urls.filter((url) => url.startsWith('http')).map((url) => new URL(url).hostname));
  assert.deepEqual([...hosts], ['127.0.0.1']);
  assert.ok(seen.parts.length > 0 && seen.parts.every((status) => status === 206), String(seen.parts));
  assert.deepEqual(seen.complaints, []);
});

/** Compare rows whatever their order: numbers to 1e-12 relative, all else to the letter. */
function compare(found, wanted, what) {
  assert.equal(found.length, wanted.length, what);
  const isNumber = (cell) => cell !== null && cell !== '' && typeof cell !== 'boolean' && !Array.isArray(cell) && Number.isFinite(Number(cell));
  const key = (row) => JSON.stringify(row.map((cell) => (isNumber(cell) ? Number(cell).toPrecision(9) : cell)));
  const order = (rows) => [...rows].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const theirs = order(wanted);
  order(found).forEach((row, at) => row.forEach((cell, k) => {
    const other = theirs[at][k];
    if (isNumber(cell) && isNumber(other) && !Number.isInteger(Number(other))) {
      const apart = Math.abs(Number(cell) - Number(other)) / Math.max(Math.abs(Number(other)), 1e-300);
      assert.ok(apart < 1e-12, `${what}: ${cell} is not ${other}`);
    } else if (isNumber(cell) && isNumber(other)) assert.equal(String(cell), String(other), what);
    else assert.deepEqual(cell, other, what);
  }));
}
