/** Tabs that answer questions about what is shown; only the open one is kept up to date. */
import { button, element } from '../../page/dom';
import type { PaneName, State } from '../../state';
import type { App, Pane, Shown } from '../pane';

/** A tab: a pane with a name, which the address has, and a title. */
export interface Tab extends Pane {
  readonly name: PaneName;
  readonly title: string;
}

export class DetailsPane implements Pane {
  readonly root: HTMLElement;
  private readonly list = element('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Questions' });
  private readonly heads: HTMLButtonElement[];
  private shown: Shown | null = null;
  private open: Tab | null = null;

  constructor(private readonly app: App, private readonly tabs: Tab[]) {
    this.heads = tabs.map((tab) => button(tab.title, () => app.store.set({ pane: tab.name }), {
      role: 'tab', id: `tab-${tab.name}`, 'aria-controls': `panel-${tab.name}`, 'aria-selected': 'false', tabindex: '-1',
    }));
    this.list.append(...this.heads);
    this.list.addEventListener('keydown', (event) => this.key(event));
    for (const { root, name } of tabs) {
      root.classList.add('panel');
      Object.entries({ role: 'tabpanel', id: `panel-${name}`, 'aria-labelledby': `tab-${name}` })
        .forEach(([key, value]) => root.setAttribute(key, value));
      root.hidden = true;
    }
    this.root = element('section', { class: 'pane pane-details', 'aria-label': 'Questions' },
      this.list, ...tabs.map(({ root }) => root));
  }

  show(shown: Shown): void {
    this.shown = shown;
    const isOther = this.turn(this.app.store.state);
    this.open?.show?.(shown);
    this.open?.update?.(this.app.store.state, new Set());
    if (isOther) this.open?.repaint?.(); // the colours may be others than when it was open or made
  }

  update(state: State, changed: Set<keyof State>): void {
    if (this.turn(state)) {
      if (this.shown) this.open?.show?.(this.shown);
      this.open?.update?.(state, new Set());
      this.open?.repaint?.();
    } else this.open?.update?.(state, changed);
  }

  hovered(entry: number): void {
    this.open?.hovered?.(entry);
  }

  repaint(): void {
    this.open?.repaint?.();
  }

  /** Open the tab that the state names; return whether another was open. */
  private turn(state: State): boolean {
    const tab = this.tabs.find(({ name }) => name === state.pane) ?? this.tabs[0];
    if (tab === this.open) return false;
    this.open = tab;
    this.tabs.forEach(({ root }, at) => {
      const isOpen = this.tabs[at] === tab;
      root.hidden = !isOpen;
      this.heads[at].setAttribute('aria-selected', String(isOpen));
      this.heads[at].tabIndex = isOpen ? 0 : -1;
    });
    return true;
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const at = (this.tabs.indexOf(this.open!) + step + this.tabs.length) % this.tabs.length;
    this.heads[at].focus();
    this.app.store.set({ pane: this.tabs[at].name });
    event.preventDefault();
    event.stopPropagation();
  }
}
