/** Elements of the page. Whatever a dataset says becomes text, never markup. */

type Child = Node | string | null | undefined | false;
type Listeners = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

export interface Props {
  class?: string;
  on?: Listeners;
  [attribute: string]: unknown;
}

/** Return a new element: attributes, listeners, children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value as Listeners)) {
        made.addEventListener(event, listener as EventListener);
      }
    } else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child): child is Node | string => child != null && child !== false));
  return made;
}

/** Return a button with a label and what it does. */
export function button(label: string, act: () => void, props: Props = {}): HTMLButtonElement {
  return element('button', { type: 'button', ...props, on: { click: act } }, label);
}

/** Write text where it has changed: writing costs a layout. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** A number that is written already: in a table it is set right, as numbers are. */
export class Figure {
  constructor(readonly text: string) {}
}

type Cell = string | number | Figure | Node;

const isNumber = (cell: Cell | undefined) => typeof cell === 'number' || cell instanceof Figure;

/** Return a table: heads, and rows of text; numbers and their heads are set right. */
export function table(heads: string[], rows: Cell[][], caption?: string): HTMLTableElement {
  return element('table', {},
    caption ? element('caption', {}, caption) : null,
    element('thead', {}, element('tr', {}, ...heads.map((head, at) =>
      element('th', { scope: 'col', class: isNumber(rows[0]?.[at]) ? 'number' : undefined }, head)))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map((cell) =>
      element('td', { class: isNumber(cell) ? 'number' : undefined },
        cell instanceof Node ? cell : cell instanceof Figure ? cell.text : String(cell)))))));
}

/** Fill a select with options; a value that it has not is left unchosen. */
export function fill(select: HTMLSelectElement, options: { value: string; label: string }[], value: string): void {
  select.replaceChildren(...options.map((option) => element('option', { value: option.value }, option.label)));
  select.value = value;
}
