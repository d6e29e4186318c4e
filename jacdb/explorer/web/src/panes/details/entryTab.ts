/** One entry: its value along the episode, how its values are spread, when it is there, and what comes and goes with it. */
import { onResize, sharpPen } from '../../drawing/canvas';
import { SvgPen, type Pen } from '../../drawing/pen';
import { button, element, Figure, fill, setText, table } from '../../page/dom';
import { count, percent } from '../../page/format';
import { nextFrame } from '../../page/frame';
import { toolsOf } from '../../page/paneFrame';
import { ofRun } from '../../data/condition';
import type { Episode } from '../../data/episode';
import type { Occurrences } from '../../data/occurrences';
import type { State } from '../../state';
import { entryCode } from '../code';
import type { App, Shown } from '../pane';
import { constraintWords, nameOf, valueOf } from '../words';
import type { Tab } from './detailsPane';
import { ABOVE, BELOW, binsOf, paintHistogram, paintHistory, type Bins } from './entryFigures';

const HEIGHT = 108;
const MOST_ROWS = 40;
const SUGGESTED = 12;

export class EntryTab implements Tab {
  readonly name = 'entry';
  readonly title = 'Entry';
  readonly root = element('div');
  private readonly row = element('select', { 'aria-label': 'Next state' });
  private readonly col = element('select', { 'aria-label': 'By which state or action' });
  private readonly chooser = element('div', { class: 'by-name' }, 'Next', this.row, 'by', this.col);
  private readonly none = element('div', { class: 'entry' });
  private readonly content = element('div', { class: 'entry', hidden: true });
  private readonly heading = element('h3');
  private readonly value = element('p', { class: 'value' });
  private readonly toFirst: HTMLButtonElement;
  private readonly history = element('canvas', { role: 'img', 'aria-label': 'Value along the episode' });
  private readonly spread = element('canvas', { role: 'img', 'aria-label': 'How the values are spread' });
  private readonly head = element('div', { class: 'playhead' });
  private readonly plot = element('div', { class: 'plot' }, this.history, this.head);
  private readonly explained = element('div');
  private readonly together = element('div');
  private shown: Shown | null = null;
  private entry = -1;
  private bins: Bins | null = null;
  private first = -1; // step in which it is not zero

  constructor(private readonly app: App) {
    this.toFirst = button('', () => app.store.set({ step: this.first }), { hidden: true });
    for (const select of [this.row, this.col]) select.addEventListener('change', () => this.chooseByName());
    this.content.append(
      element('div', { class: 'line' }, this.heading, ...toolsOf(app, 'entry', {
        svg: () => (this.entry < 0 ? null : this.figure()),
        code: () => (this.entry < 0 ? [] : entryCode(this.shown!, this.entry)),
      })),
      this.value, this.toFirst, element('h4', {}, 'Along the episode'), this.plot,
      this.explained, element('h4', {}, 'Its values in the episode'), this.spread, this.together);
    this.root.append(this.chooser, this.none, this.content);
    this.plot.addEventListener('pointerdown', (event) => this.go(event));
    onResize(this.root, () => nextFrame(this.draw));
  }

  show(shown: Shown): void {
    if (shown.shape !== this.shown?.shape) {
      const named = (axes: { name: string }[]) => [{ value: '', label: '–' }, ...axes.map(({ name }, at) => ({ value: String(at), label: name }))];
      fill(this.row, named(shown.shape.rowAxes), '');
      fill(this.col, named(shown.shape.colAxes), '');
    }
    this.shown = shown;
    this.entry = -2;
  }

  update(state: State): void {
    const { shown } = this;
    if (!shown) return;
    const { entry } = state;
    const at = entry ? shown.shape.place(entry.jacobian, entry.row, entry.col) : -1;
    if (at !== this.entry) this.choose(at);
    if (at < 0) return;
    setText(this.value, `In step ${state.step}: ${valueOf(shown, state.step, at)}`);
    this.toFirst.hidden = this.first < 0 || !shown.episode.zeros(state.step)?.[at];
    this.head.style.transform = `translateX(${((state.step + 0.5) / shown.episode.steps) * this.plot.clientWidth}px)`;
  }

  repaint(): void {
    this.draw();
  }

  private choose(entry: number): void {
    this.entry = entry;
    const { cols } = this.shown!.shape;
    if (entry >= 0) [this.row.value, this.col.value] = [String(Math.floor(entry / cols)), String(entry % cols)];
    this.none.hidden = entry >= 0;
    this.content.hidden = entry < 0;
    const shown = this.shown!;
    if (entry < 0) {
      this.suggest(shown);
      return;
    }
    setText(this.heading, nameOf(shown.shape, entry));
    this.bins = binsOf(shown.episode, entry);
    this.first = firstNotZero(shown.episode, entry);
    setText(this.toFirst, `Go to step ${this.first}, the first in which it is not zero`);
    this.draw();
    const { occurrences, here, mask } = shown; // without a condition, or where it is wrong, there is no mask
    this.explain(mask ? occurrences : here, !mask);
    this.companions(occurrences);
  }

  private chooseByName(): void {
    if (!this.shown || !this.row.value || !this.col.value) return;
    const { shape } = this.shown;
    this.app.store.set({ entry: shape.named(shape.entry(Number(this.row.value), Number(this.col.value))) });
  }

  /** Say in which share of steps the entry is not zero, with each constraint and without. */
  private explain(known: Occurrences, hasMore: boolean): void {
    const { entry } = this;
    const share = known.zeroShareOf(entry);
    const all = share > 0 && share < 1 ? known.explain(entry) : [];
    const rows = all.slice(0, MOST_ROWS);
    const few = rows.length < all.length ? `; ${rows.length} of ${all.length} constraints, those that tell most` : '';
    const caption = `Share of ${known.scope} (${known.steps.toLocaleString('en')}) in which it is not zero${few}`;
    const more = button('Count the whole run', () => void this.countRun(more), { hidden: !hasMore });
    const alike = share === 0 ? 'It is never zero in' : share === 1 ? 'It is always zero in' : 'No constraint holds in';
    this.explained.replaceChildren(
      element('h4', {}, 'When it is not zero'),
      rows.length ? table(['while this holds', 'steps', 'not zero', 'otherwise'], rows.map(({ name, steps, withIt, without }) =>
        [constraintWords(name), steps, new Figure(percent(withIt)), new Figure(percent(without))]), caption)
        : element('p', { class: 'quiet' }, known.steps ? `${alike} ${known.scope} (${known.steps.toLocaleString('en')}).` : known.none),
      more);
  }

  private async countRun(asked: HTMLButtonElement): Promise<void> {
    const [shown, entry] = [this.shown!, this.entry];
    asked.disabled = true;
    try {
      const known = await ofRun(this.app.database, shown, '', (text) => setText(asked, text || 'Counting …'));
      if (this.shown === shown && this.entry === entry) this.explain(known, false);
    } catch (error) {
      setText(asked, (error as Error).message);
    }
  }

  /** Offer entries that switch, where none is chosen: those first that are zero in about half of the steps. */
  private suggest({ shape, zeroShare, occurrences }: Shown): void {
    const even = (entry: number) => Math.abs(zeroShare[entry] - 0.5);
    const switching = [...zeroShare.keys()].filter((entry) => zeroShare[entry] > 0 && zeroShare[entry] < 1);
    const alike = new Map<number, number[]>(); // those that switch together are zero as often
    for (const entry of switching) alike.set(zeroShare[entry], [...(alike.get(zeroShare[entry]) ?? []), entry]);
    const first = [...alike.values()].sort(([a], [b]) => even(a) - even(b)).slice(0, SUGGESTED);
    const choose = (entry: number) => button(nameOf(shape, entry), () => this.app.store.set({ entry: shape.named(entry) }));
    this.none.replaceChildren(
      element('p', {}, 'Choose an entry: click a cell of the matrix, or press Enter on it.'),
      element('h4', {}, 'Entries that switch'),
      element('p', { class: 'quiet' }, switching.length
        ? `${count(switching.length, 'entry')} of ${zeroShare.length.toLocaleString('en')} are zero in some of ${occurrences.scope} and not in others. `
          + 'In which share of them:'
        : occurrences.steps ? `None: in ${occurrences.scope} each entry is always zero or never.` : occurrences.none),
      ...(first.length ? [table(['entry', 'equally often', 'zero in'], first.map(([entry, ...others]) =>
        [choose(entry), others.length ? `and ${count(others.length, 'other')}` : '', new Figure(percent(zeroShare[entry]))]))] : []));
  }

  /** List the entries that are zero in exactly the same steps. */
  private companions(occurrences: Occurrences): void {
    const { shape } = this.shown!;
    const { entry } = this;
    const share = this.shown!.zeroShare[entry];
    const others = share > 0 && share < 1 ? occurrences.together(entry, shape.rows * shape.cols) : [];
    const never = share === 0 ? 'never zero' : 'always zero';
    const choose = (other: number) => button(nameOf(shape, other), () => this.app.store.set({ entry: shape.named(other) }));
    this.together.replaceChildren(
      element('h4', {}, 'Entries that come and go with it'),
      share > 0 && share < 1
        ? element('p', { class: 'quiet' }, others.length
          ? `Zero in exactly the same of ${occurrences.scope}: ${others.length.toLocaleString('en')} of the others.`
          : `No other is zero in exactly the same of ${occurrences.scope}.`)
        : element('p', { class: 'quiet' }, occurrences.steps ? `It is ${never} in ${occurrences.scope}: it does not switch.` : occurrences.none),
      element('ul', { class: 'companions' }, ...others.slice(0, MOST_ROWS).map((other) => element('li', {}, choose(other)))));
  }

  private go(event: PointerEvent): void {
    if (!this.shown) return;
    const box = this.plot.getBoundingClientRect();
    const { steps } = this.shown.episode;
    const step = Math.floor(((event.clientX - box.left) / box.width) * steps);
    this.app.store.set({ step: Math.min(Math.max(step, 0), steps - 1) });
  }

  private readonly draw = () => {
    const width = this.plot.clientWidth;
    if (!this.shown || this.entry < 0 || width < 50) return;
    this.head.style.height = `${HEIGHT - ABOVE - BELOW}px`;
    this.head.style.top = `${ABOVE}px`;
    paintHistory(sharpPen(this.history, width, HEIGHT), this.shown.episode, this.entry, width, HEIGHT, this.app.colours);
    if (this.bins) paintHistogram(sharpPen(this.spread, width, HEIGHT), this.bins, width, HEIGHT, this.app.colours);
    this.update(this.app.store.state);
  };

  private figure(): SVGSVGElement {
    const width = Math.max(this.plot.clientWidth, 300);
    const title = nameOf(this.shown!.shape, this.entry);
    const { colours } = this.app;
    const pen = new SvgPen(width, 2 * HEIGHT + 30, title);
    pen.rect(0, 0, width, 2 * HEIGHT + 30, colours.panel);
    pen.text(4, 16, title, { size: 12, fill: colours.ink, bold: true });
    paintHistory(shifted(pen, 24), this.shown!.episode, this.entry, width, HEIGHT, colours);
    if (this.bins) paintHistogram(shifted(pen, HEIGHT + 28), this.bins, width, HEIGHT, colours);
    return pen.svg;
  }
}

/** Return the first step in which an entry is not zero; -1 if there is none. */
function firstNotZero(episode: Episode, entry: number): number {
  for (let step = 0; step < episode.steps; step++) {
    if (episode.zeros(step)?.[entry] === 0) return step;
  }
  return -1;
}

/** Return a pen that draws lower on the paper. */
function shifted(pen: Pen, down: number): Pen {
  const moved = (points: number[]) => points.map((at, i) => (i % 2 ? at + down : at));
  return {
    rect: (x, y, width, height, fill, stroke) => pen.rect(x, y + down, width, height, fill, stroke),
    line: (points, stroke, width, dash) => pen.line(moved(points), stroke, width, dash),
    curve: (points, stroke, width, opacity) => pen.curve(moved(points), stroke, width, opacity),
    circle: (x, y, radius, fill, stroke) => pen.circle(x, y + down, radius, fill, stroke),
    text: (x, y, text, style) => pen.text(x, y + down, text, style),
  };
}
