// A static site shows the same on a plain server of files.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { expected, hash, launch, open } from './browser.mjs';

test('a static site shows an episode and answers a view', async () => {
  const browser = await launch();
  after(() => browser.close()); // of a test that fails, too: an open browser would be waited for
  const seen = { urls: [], parts: [], complaints: [] };
  const page = await open(browser, hash({ env: expected.env, pane: 'views', view: 'global_sparsity' }), seen);
  await page.waitForFunction(() => window.jacdbExplorer.geomPositions());
  await page.waitForFunction(() => document.querySelector('#panel-views [role=status]').textContent === '1 row');
  assert.ok(seen.parts.every((status) => status === 206), String(seen.parts));
  assert.deepEqual(seen.complaints, []);
});
