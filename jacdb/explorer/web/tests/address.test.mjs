// The address and what is loaded: places to go back to, what is chosen meanwhile, what can't be loaded.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { expected, hash, launch, open, scrub, shown } from './browser.mjs';

const [{ env, run }, other] = expected.runs;
const named = (state) => (page) => page.waitForFunction((hash) => location.hash === hash, hash(state));
let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

test('what is chosen while an episode loads stays', async () => {
  const page = await open(browser, hash({ env, run, episode: 0, step: 0 }));
  let release;
  const held = new Promise((done) => { release = done; });
  await page.route('**/data/steps/**', async (route) => {
    await held;
    await route.continue();
  });
  await page.selectOption('#choose-episode', '1');
  await page.waitForFunction(() => !document.querySelector('.status').hidden);
  await page.getByRole('tab', { name: 'Graph' }).click();
  await page.selectOption('.pane-jacobian select', 'share');
  const chosen = named({ env, run, episode: 1, step: 0, colour: 'share', pane: 'graph' });
  await chosen(page);
  release();
  await page.waitForFunction(() => window.jacdbExplorer.app.shown.episode.number === 1);
  await chosen(page);
  assert.equal(await page.inputValue('.pane-jacobian select'), 'share');
  assert.equal(await page.getByRole('tab', { name: 'Graph' }).getAttribute('aria-selected'), 'true');
  await page.context().close();
});

test('Back and Forward go from place to place: an address that was completed is none', async () => {
  const page = await open(browser, hash({ env }));
  await named({ env, run, episode: 0, step: 0 })(page);
  const places = () => page.evaluate(() => history.length);
  const before = await places();
  await page.selectOption('#choose-env', other.env);
  await shown(page, other.env);
  for (const [go, place] of [['goBack', expected.runs[0]], ['goForward', other], ['goBack', expected.runs[0]]]) {
    await page[go]();
    await shown(page, place.env);
    await named({ ...place, episode: 0, step: 0 })(page);
    assert.equal(await places(), before + 1);
  }
  await page.context().close();
});

test('what an address says wrongly is as at the start', async () => {
  const right = { env, run, episode: 0, step: 0 };
  const wrong = { entry: 'state,99,99', block: '77,3', view: 'nope', compare: 'nope,nope,3' };
  const page = await open(browser, hash({ ...right, ...wrong }));
  await named(right)(page);
  await page.evaluate((hash) => { location.hash = hash; }, hash({ ...right, ...wrong }));
  await named(right)(page);
  await page.context().close();
});

test('what an address names and the dataset has not is told, with what is shown instead', async () => {
  for (const [asked, said] of [
    [{ env, run, episode: 99 }, 'No episode 99 in this run: episode 0 is shown.'],
    [{ env, run: 'nope', episode: 0 }, `No run nope of ${env}: ${run} is shown.`],
    [{ env: 'Nope', run, episode: 0 }, `No environment Nope in this dataset: ${env} is shown.`],
  ]) {
    const page = await open(browser, hash({ ...asked, step: 0 }));
    await page.waitForFunction((text) => document.querySelector('.status').textContent === text, said);
    assert.ok(await page.locator('.status').isVisible());
    assert.ok(await page.evaluate(() => {
      const { left, top, width, height } = document.querySelector('.status').getBoundingClientRect();
      return !document.elementFromPoint(left + width / 2, top + height / 2).closest('.status');
    }), 'controls below the notice are within reach');
    await scrub(page, 3);
    await page.waitForFunction(() => document.querySelector('.status').hidden);
    await page.context().close();
  }
});

test('a condition that is not used is told for as long as it stands', async () => {
  const page = await open(browser, hash({ env, run, episode: 99, step: 0, where: 'nope > 1' }));
  const said = () => page.locator('.status').textContent();
  await page.waitForFunction(() => document.querySelector('.status').textContent.includes('The condition is not used'));
  assert.ok((await said()).startsWith('No episode 99'));
  await scrub(page, 3);
  await page.waitForFunction(() => document.querySelector('.status').textContent.startsWith('The condition is not used'));
  assert.ok(await page.locator('.status').isVisible());
  await page.evaluate(() => window.jacdbExplorer.app.store.set({ where: '' }));
  await page.waitForFunction(() => document.querySelector('.status').hidden);
  await page.context().close();
});

test('where a run is not to be had, the page names what it shows, and why', async () => {
  const page = await open(browser, hash({ env, run, episode: 0, step: 2, entry: 'state,1,0' }));
  await page.route(`**/data/runs/${other.env}/*.json`, (route) => route.fulfill({ status: 410, contentType: 'text/plain', body: 'gone: start it again\n' }));
  await page.selectOption('#choose-env', other.env);
  await page.waitForFunction(() => document.querySelector('.status').textContent === 'gone: start it again');
  await named({ env, run, episode: 0, step: 2, entry: 'state,1,0' })(page);
  assert.equal(await page.inputValue('#choose-env'), env);
  assert.equal(await page.inputValue('#choose-run'), run);
  assert.ok((await page.title()).startsWith(env));
  await page.context().close();
});
