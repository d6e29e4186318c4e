// A browser for the tests: Debian's Chromium, which reaches no host but this one, and what it was seen to do.
import { readFileSync } from 'node:fs';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

export const address = process.env.JACDB_PAGE;
export const expected = JSON.parse(readFileSync(process.env.JACDB_EXPECTED, 'utf8'));

const FLAGS = [
  '--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];

const launched = [];
// a test that fails leaves its browser open, and Node would wait for it for ever
after(() => Promise.all(launched.map((browser) => browser.close())));

export async function launch() {
  const browser = await chromium.launch({ executablePath: process.env.JACDB_CHROMIUM, args: FLAGS });
  launched.push(browser);
  return browser;
}

/** Open the page at an address of its own; `seen` collects requests, answers and complaints. */
export async function open(browser, hash = '', seen = { urls: [], parts: [], complaints: [] }, viewport = { width: 1280, height: 800 }) {
  const page = await (await browser.newContext({ viewport })).newPage();
  page.setDefaultTimeout(60_000);
  page.on('request', (request) => seen.urls.push(request.url()));
  page.on('response', (response) => {
    if (response.url().endsWith('.parquet')) seen.parts.push(response.status());
  });
  page.on('console', (message) => {
    if (message.type() === 'error') seen.complaints.push(message.text());
  });
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  page.on('dialog', (dialog) => seen.complaints.push(`dialog: ${dialog.message()}`));
  await page.goto(address + hash);
  await shown(page);
  return page;
}

/** Wait until an episode is shown, that of an environment if one is named. */
export async function shown(page, env = '') {
  await page.waitForFunction((name) => {
    const { app } = window.jacdbExplorer ?? {};
    return app?.shown && (!name || app.shown.run.env === name);
  }, env);
}

/** Move the scrubber, as a person's drag does. */
export async function scrub(page, step) {
  await page.locator('.player input').evaluate((slider, to) => {
    slider.value = String(to);
    slider.dispatchEvent(new Event('input', { bubbles: true }));
  }, step);
  await page.waitForFunction((to) => document.querySelector('.step').textContent.replaceAll('\u2007', '').startsWith(`step ${to} `), step);
}

/** Return the name of an address's state. */
export function hash(state) {
  return `#${new URLSearchParams(state)}`;
}
