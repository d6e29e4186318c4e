// Steps by finite differences tell no zeros: they are in no share, and the page says so of one.
import assert from 'node:assert/strict';
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
