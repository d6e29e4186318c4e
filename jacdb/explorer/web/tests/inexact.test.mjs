// Steps by finite differences tell no zeros: they are in no share, and the page says so of one.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { expected, hash, launch, open } from './browser.mjs';

const BY_FD = 'This step is by finite differences, which tell no zeros: it counts in no statistic of them.';
const NONE = "No step counts: of the run's steps none is finite (free of NaN and infinity) and by an exact method"
  + ' (finite differences tell no zeros).';
const { env, run, whole, step, count, share } = expected;

test('single steps by finite differences are in no share, with a condition and without', async () => {
  const browser = await launch();
  for (const where of ['', 'step >= 0']) {
    const page = await open(browser, hash({ env, run, step, where, entry: 'state,0,1' }));
    const found = await page.evaluate(() => {
      const { occurrences, here, zeroShare, shape } = window.jacdbExplorer.app.shown;
      const at = shape.place('state', 0, 1);
      return [occurrences, here].map((one) => [one.steps, one.zeroShareOf(at)]).concat([[zeroShare[at]]]);
    });
    assert.deepEqual(found, [[count, share], [count, share], [share]], where);
    assert.equal(await page.locator('.pane-jacobian .words.quiet').textContent(), BY_FD);
    await page.context().close();
  }
  const page = await open(browser, hash({ env, run, pane: 'graph', threshold: 1e-6, least: 100 }));
  await page.locator('#panel-graph summary').click();
  // an edge that all exact steps have, and no other
  await page.waitForFunction(() => /100 %/.test(document.querySelector('#panel-graph tbody tr')?.textContent ?? ''));
  await page.context().close();
});

test('of a run by finite differences no step counts', async () => {
  const page = await open(await launch(), hash({ env, run: whole }));
  assert.equal(await page.locator('#panel-entry .quiet', { hasText: NONE }).filter({ visible: true }).count(), 1);
  assert.equal(await page.locator('.pane-jacobian .words.quiet').textContent(), BY_FD);
  await page.context().close();
});

test('the Entry tab shows values by finite differences, and counts none of them', async () => {
  const browser = await launch();
  const found = { [run]: ['without 1 step by fd or not finite', 1], [whole]: ['without 4 steps by fd or not finite', 0] };
  for (const [one, [said, zeros]] of Object.entries(found)) {
    const page = await open(browser, hash({ env, run: one, step, entry: 'state,0,1' }));
    const downloaded = page.waitForEvent('download');
    await page.locator('#panel-entry button[title="Keep as SVG"]').click();
    const svg = await readFile(await (await downloaded).path(), 'utf8');
    const texts = [...svg.matchAll(/<text[^>]*>([^<]*)/g)].map(([, text]) => text);
    assert.ok(texts.includes(said), texts.join('; '));
    assert.equal(texts[texts.indexOf('zero') - 1], String(zeros)); // over the bar of zeros
    assert.equal(texts.includes('it is zero'), zeros > 0);
    assert.ok(texts.includes('from 0 to 1'));
    assert.match(await page.locator('#panel-entry').textContent(), /In step 2: 0/);
    await page.context().close();
  }
});

test('without matrices, it is not known whether an entry of such a step is zero', async () => {
  const page = await open(await launch(), hash({ env, run, step }));
  const said = (at) => page.evaluate(async (at) => {
    const { app } = window.jacdbExplorer;
    app.shown.episode.rows.values = null; // as an episode of a run without them is
    app.store.set({ step: at });
    await new Promise((done) => setTimeout(done, 200));
    app.hover(app.shown.shape.place('state', 0, 1));
    return document.querySelector('.pane-jacobian .words').textContent.match(/= ([a-z ]+)/)[1];
  }, at);
  assert.deepEqual([await said(0), await said(1), await said(step)], ['zero', 'not zero', 'not known']);
  await page.context().close();
});

test('each view says which steps it is of under a condition', async () => {
  const browser = await launch();
  const scopes = {
    threshold_sweep: 'of whole episodes of this run, whatever the condition',
    global_sparsity: 'of steps of this run that meet the condition',
    steps: 'of steps of this run that meet the condition',
    episodes: 'whatever the condition',
  };
  for (const [view, scope] of Object.entries(scopes)) {
    const page = await open(browser, hash({ env, run, pane: 'views', view, where: 'step < 1' }));
    const told = page.locator('#panel-views [role=status]', { hasText: /\d row|Not in/ });
    await told.waitFor();
    assert.match(await told.textContent(), new RegExp(`^\\d+ rows?, ${scope}$`));
    await page.context().close();
  }
});
