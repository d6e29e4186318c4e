// Runs of before 1.0 have '' for the body of each axis whose body has no name: that is no body, and not one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expected, hash, launch, open } from './browser.mjs';

test('axes of bodies without a name are told apart by their joints', async () => {
  const page = await open(await launch(), hash({ env: expected.env, pane: 'graph' }));
  await page.locator('#panel-graph summary').click();
  await page.waitForFunction(() => document.querySelectorAll('#panel-graph tbody tr').length > 0);
  const edges = await page.locator('#panel-graph tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent)));
  assert.deepEqual(edges.map(String).sort(), expected.edges.map(String).sort());
  await page.getByRole('tab', { name: 'Table' }).click();
  await page.waitForFunction(() => document.querySelectorAll('#block-rows option').length > 0);
  assert.deepEqual(await page.locator('#block-rows option').allTextContents(), expected.bodies);
});
