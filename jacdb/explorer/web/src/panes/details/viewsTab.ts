/** Every view as a table, with the question that it answers: DuckDB in the page runs jacdb's own SQL. */
import { button, element, Figure, fill, setText, table } from '../../page/dom';
import { count } from '../../page/format';
import { keep, toolsOf } from '../../page/paneFrame';
import type { Answer } from '../../data/database';
import { countsSteps, scopeUnder, viewNames } from '../../data/viewTexts';
import type { State } from '../../state';
import { viewCode, type Code } from '../code';
import type { App, Shown } from '../pane';
import type { Tab } from './detailsPane';

const START = 'global_sparsity';
const MOST_ROWS = 500; // shown; a browser is slow with more

export class ViewsTab implements Tab {
  readonly name = 'views';
  readonly title = 'Views';
  readonly root = element('div');
  private readonly chosen = element('select', { 'aria-label': 'View' });
  private readonly question = element('p');
  private readonly told = element('p', { class: 'quiet', role: 'status' });
  private readonly holder = element('div', { class: 'scrolled', tabindex: '0' });
  private shown: Shown | null = null;
  private asked = '';
  private answer: Answer | null = null;

  constructor(private readonly app: App) {
    fill(this.chosen, viewNames(app.index.views).map((name) => ({ value: name, label: name })), START);
    this.chosen.addEventListener('change', () => app.store.set({ view: this.chosen.value }));
    this.root.append(
      element('div', { class: 'line' }, this.chosen, button('CSV', () => this.keep(), { class: 'tool', title: 'Keep as CSV' }),
        ...toolsOf(app, 'view', { code: () => this.code() })),
      this.question, this.told, this.holder);
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.asked = '';
  }

  update(state: State): void {
    if (!this.shown) return;
    this.chosen.value = this.view;
    const key = JSON.stringify([this.view, state.env, state.run, state.where]);
    if (key === this.asked) return;
    this.asked = key;
    void this.ask(key, this.view, this.shown, state.where);
  }

  private get view(): string {
    return this.app.store.state.view || START;
  }

  private async ask(key: string, view: string, { run, file }: Shown, where: string): Promise<void> {
    const { question, grain } = this.app.index.views.questions[view] ?? {};
    const asked = question ? question[0].toUpperCase() + question.slice(1) : '';
    setText(this.question, [asked, grain && `Each row: ${grain}`].filter(Boolean).join(' '));
    this.holder.replaceChildren();
    setText(this.told, ''); // the number of rows was the former answer's
    this.answer = null;
    const reason = this.app.index.views.unavailable[view];
    if (reason) {
      setText(this.told, `Not in this page: ${reason}. jacdb query ${view} answers it.`);
      return;
    }
    try {
      const answer = await this.app.database.view(view, run, file, where, (text) => {
        if (key === this.asked) setText(this.told, text);
      });
      if (key !== this.asked) return;
      this.answer = answer;
      this.lay(answer, where ? `, ${scopeUnder(this.app.index, view)}` : '');
    } catch (error) {
      if (key === this.asked) setText(this.told, (error as Error).message);
    }
  }

  private lay({ columns: all, rows: whole }: Answer, scope: string): void {
    // every row is of the environment that is chosen
    const columns = all.filter((name) => name !== 'env');
    const rows = whole.map((row) => row.filter((_, at) => all[at] !== 'env'));
    const cut = rows.length > MOST_ROWS ? `, the first ${MOST_ROWS} shown` : '';
    setText(this.told, `${count(rows.length, 'row')}${cut}${scope}`);
    this.holder.replaceChildren(table(columns, rows.slice(0, MOST_ROWS).map((row) => row.map(cellOf))));
  }

  private code(): Code[] {
    const { index, store: { state: { where } } } = this.app;
    return viewCode(index, this.view, this.shown!, where, countsSteps(index, this.view, where));
  }

  private keep(): void {
    if (!this.answer) return;
    const quoted = (value: unknown) => `"${textOf(value).replaceAll('"', '""')}"`;
    const lines = [this.answer.columns, ...this.answer.rows].map((row) => row.map(quoted).join(','));
    keep(`${this.view}.csv`, new Blob([`${lines.join('\n')}\n`], { type: 'text/csv' }));
  }
}

function cellOf(value: unknown): string | Figure {
  if (typeof value === 'number') return new Figure(String(Number.isInteger(value) ? value : Number(value.toPrecision(6))));
  if (typeof value === 'bigint') return new Figure(String(value));
  return textOf(value);
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(textOf).join(', ');
  return String(value);
}
