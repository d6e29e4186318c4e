/** A condition on steps, in SQL: shares, lanes and views are then those of the steps that meet it. */
import { button, element, setText } from '../../page/dom';
import { count, percent } from '../../page/format';
import { toolsOf } from '../../page/paneFrame';
import type { State } from '../../state';
import { codeOf, literal } from '../code';
import type { App, Shown } from '../pane';
import type { Tab } from './detailsPane';

const EXAMPLES = [
  'in_contact', 'not in_contact', 'n_contacts >= 2', 'at_clip(active)', 'len(active) = 0', 'step >= 100', 'reward > 0',
];

export class FilterTab implements Tab {
  readonly name = 'filter';
  readonly title = 'Filter';
  readonly root = element('div');
  private readonly typed = element('textarea', { rows: '3', spellcheck: 'false', 'aria-label': 'Condition on steps, in SQL' });
  private readonly found = element('p', { 'aria-live': 'polite' });
  private shown: Shown | null = null;

  constructor(private readonly app: App) {
    const apply = () => app.store.set({ where: this.typed.value.trim() });
    this.typed.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey) return;
      event.preventDefault();
      apply();
    });
    const clear = () => {
      this.typed.value = '';
      apply();
    };
    const example = (text: string) => button(text, () => {
      this.typed.value = text;
      apply();
    });
    this.root.append(
      element('p', { class: 'quiet' }, 'A condition on steps, in SQL. Shares and views then count the steps of this run that meet it.'),
      this.typed,
      element('div', { class: 'line' }, button('Apply', apply), button('Clear', clear), ...toolsOf(app, 'filter', {
        code: () => codeOf(this.sql()),
      })),
      this.found, element('h4', {}, 'For example'), element('div', { class: 'examples' }, ...EXAMPLES.map(example)),
      element('p', { class: 'quiet' },
        'Columns: episode, step, policy, reward, done, truncated, in_contact, n_contacts, contacts, active, n_zero_state,'
        + ' n_zero_action, residual, method, finite.'));
  }

  show(shown: Shown): void {
    this.shown = shown;
    this.typed.value = this.app.store.state.where;
    this.tell();
  }

  update(_: State, changed: Set<keyof State>): void {
    if (changed.has('where')) this.typed.value = this.app.store.state.where;
  }

  private tell(): void {
    const { where } = this.app.store.state;
    const { mask, occurrences, episode } = this.shown!;
    if (!where) setText(this.found, 'No condition: all finite steps by exact methods count.');
    else if (!mask) setText(this.found, 'The condition is not used.');
    else {
      const here = mask.reduce((sum, met) => sum + met, 0);
      setText(this.found, `${count(here, 'step')} of ${episode.steps} of this episode (${percent(here / episode.steps)}), `
        + `${count(occurrences.steps, 'step')} of the run; shaded in the timeline.`);
    }
  }

  private sql(): string {
    const { run } = this.shown!;
    const { where } = this.app.store.state;
    const condition = where ? ` and (${where})` : '';
    return `select episode, step from steps where env = ${literal(run.env)} and run_id = ${literal(run.run_id)}${condition}`;
  }
}
