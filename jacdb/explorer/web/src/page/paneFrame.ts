/** The frame of a pane: its title, its buttons, what it can be kept as, and how it is asked for in code. */
import { CanvasPen } from '../drawing/pen';
import type { Code } from '../panes/code';
import { button, element } from './dom';

export interface Keepable {
  svg?(): SVGSVGElement | null;
  png?(): Promise<Blob | null>;
  code?(): Code[];
}

interface Announcer {
  announce(text: string): void;
}

/** Return a pane's frame: its root, and the body that is to be filled. */
export function frameOf(app: Announcer, name: string, title: string, kept: Keepable, ...buttons: HTMLElement[]) {
  const body = element('div', { class: 'pane-body' });
  const tools = toolsOf(app, name, kept);
  const root = element('section', { class: `pane pane-${name}`, 'aria-labelledby': `title-${name}` },
    element('header', { class: 'pane-head' }, element('h2', { id: `title-${name}` }, title), ...buttons, ...tools), body);
  return { root, body };
}

/** Return the buttons that keep what a pane shows as a file, and show its code. */
export function toolsOf(app: Announcer, name: string, { svg, png, code }: Keepable): HTMLElement[] {
  const tools: HTMLElement[] = [];
  const attempt = (work: () => Promise<void>) => () => {
    work().catch((error: Error) => app.announce(error.message));
  };
  const asPng = png ?? (svg && (() => pictureOf(svg())));
  if (asPng) tools.push(button('PNG', attempt(async () => keep(`${name}.png`, await asPng())), { class: 'tool', title: 'Keep as PNG' }));
  if (svg) tools.push(button('SVG', attempt(async () => keep(`${name}.svg`, textOf(svg()))), { class: 'tool', title: 'Keep as SVG' }));
  if (code) tools.push(button('</>', () => showCode(code()), { class: 'tool', title: 'The SQL or Python that gives it', 'aria-label': 'SQL and Python' }));
  return tools;
}

function textOf(svg: SVGSVGElement | null): Blob | null {
  if (!svg) return null;
  return new Blob([new XMLSerializer().serializeToString(svg)], { type: 'image/svg+xml' });
}

/** Return an SVG as a PNG, twice as large. */
async function pictureOf(svg: SVGSVGElement | null): Promise<Blob | null> {
  const text = textOf(svg);
  if (!svg || !text) return null;
  const url = URL.createObjectURL(text);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth * 2;
    canvas.height = image.naturalHeight * 2;
    const context = canvas.getContext('2d')!;
    new CanvasPen(context).rect(0, 0, canvas.width, canvas.height, 'white');
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, 'image/png'));
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Keep something as a file: the browser asks where, or puts it among downloads. */
export function keep(name: string, blob: Blob | null): void {
  if (!blob) throw new Error('there is nothing to keep yet');
  const url = URL.createObjectURL(blob);
  const link = element('a', { href: url, download: `jacdb-${name}` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Show code in a dialog; DATA stands for the dataset's folder. */
function showCode(code: Code[]): void {
  const dialog = element('dialog', { class: 'code', 'aria-label': 'SQL and Python' });
  dialog.append(
    element('p', {}, 'DATA is the dataset: a folder, or hf://datasets/OWNER/NAME.'),
    ...code.flatMap(({ title, lines }) => [
      element('h3', {}, title), element('pre', { tabindex: '0' }, lines),
      button('Copy', () => { void navigator.clipboard?.writeText(lines); }),
    ]),
    button('Close', () => dialog.close(), { class: 'close' }));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
