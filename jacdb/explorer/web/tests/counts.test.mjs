// What is counted, and over which steps: under a condition, of many constraints, with gaps.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { expected, hash, launch, open } from './browser.mjs';

const AT = { env: 'E', run: 'run-a' };

test('under a condition an episode counts the steps that meet it, at any threshold and compared', async () => {
  const { where, here, there, steps } = expected.condition;
  const page = await open(await launch(), hash({ ...AT, where, pane: 'graph', threshold: 1e-6 }));
  await page.waitForFunction(() => /that meet the condition/.test(document.querySelector('#panel-graph .quiet').textContent));
  const found = await page.evaluate(() => {
    const { here, shape } = window.jacdbExplorer.app.shown;
    return [here.steps, here.zeroShareOf(shape.place('state', 0, 1))];
  });
  assert.deepEqual(found, [steps, here]);
  await page.locator('#panel-graph summary').click(); // body of column 1 -> body of row 0: on in all three, in 5 of all 6
  await page.waitForFunction(() => document.querySelector('#panel-graph tbody tr'));
  const shares = await page.locator('#panel-graph tbody tr').allTextContents();
  assert.ok(shares.every((text) => text.endsWith('100 %')), shares.join('; '));
  await page.goto(page.url().split('#')[0] + hash({ ...AT, where, pane: 'compare', colour: 'share', compare: 'E,run-a,1', entry: 'state,0,1' }));
  const told = page.locator('#panel-compare .words');
  await page.waitForFunction(() => /there/.test(document.querySelector('#panel-compare .words').textContent));
  assert.match(await told.textContent(), new RegExp(`: ${here * 100} % here, ${Math.round(there * 100)} % there$`));
  assert.match(await page.locator('#panel-compare [role=status]').textContent(), /episode's steps that meet the condition/);
  await page.context().close();
});

test('a condition that is wrong leaves the entry its constraints, and the runs their shares', async () => {
  const page = await open(await launch(), hash({ ...AT, where: 'no_such_column', entry: 'state,0,1' }));
  const said = await page.locator('#panel-entry').textContent();
  assert.match(said, /joint limit: a/);
  assert.doesNotMatch(said, /No constraint holds/);
  await page.getByRole('tab', { name: 'Compare' }).click();
  await page.waitForFunction(() => /there|Point at/.test(document.querySelector('#panel-compare .words').textContent));
  await page.context().close();
});

test('of many constraints the most lasting have lanes, and it is said that there are others', async () => {
  const { said, limits, contacts } = expected.many;
  const page = await open(await launch(), hash({ env: 'Many', entry: 'state,0,1' }));
  const label = await page.locator('.pane-timeline canvas').getAttribute('aria-label');
  assert.deepEqual([label.match(/joint limit/g).length, label.match(/touches/g).length], [limits, contacts]);
  assert.ok(label.endsWith(said), label);
  assert.match(await page.locator('#panel-entry').textContent(), /40 of 50 constraints/);
  await page.context().close();
});

test('the line of an entry breaks where a step is not finite', async () => {
  const page = await open(await launch(), hash({ env: 'Broken', entry: 'state,0,0' }));
  const downloaded = page.waitForEvent('download');
  await page.locator('#panel-entry button[title="Keep as SVG"]').click();
  const svg = await readFile(await (await downloaded).path(), 'utf8');
  assert.equal([...svg.matchAll(/stroke-width="1.25"/g)].length, expected.stretches, svg.slice(0, 1500));
  await page.context().close();
});

test('runs of one policy and seed have names of their own to compare with', async () => {
  const page = await open(await launch(), hash({ ...AT, pane: 'compare' }));
  await page.waitForFunction(() => document.querySelectorAll('[aria-label="Run to compare with"] option').length > 1);
  assert.deepEqual(await page.locator('[aria-label="Run to compare with"] option').allTextContents(), expected.runs);
  await page.context().close();
});
