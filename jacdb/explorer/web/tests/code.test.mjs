// The code that the page gives for a view, and the view's rows in the page: whoever started this runs the code.
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { expected, hash, launch, open } from './browser.mjs';

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

test('panes of views give code', async () => {
  const given = [];
  for (const { view, env, run, where, pane } of expected.asked) {
    const page = await open(browser, hash({ env, run, where, view, pane }));
    await page.waitForFunction((where) => !where || window.jacdbExplorer.app.shown.mask, where);
    await page.locator(`.pane-details button[aria-label="SQL and Python"]:visible`).click();
    const [shell, python] = await page.locator('dialog.code pre').allTextContents();
    const { columns, rows } = await page.evaluate(async ({ view, where }) => {
      const { app } = window.jacdbExplorer;
      const { columns, rows } = await app.database.view(view, app.shown.run, app.shown.file, where);
      return { columns, rows: rows.map((row) => row.map((value) => (typeof value === 'bigint' ? Number(value) : value))) };
    }, { view, where });
    given.push({ shell, python, columns, rows });
    await page.close();
  }
  writeFileSync(expected.given, JSON.stringify(given));
});
