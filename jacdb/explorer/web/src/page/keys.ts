/** Keys that work everywhere on the page, and the dialog that tells of them. */
import { button, element, table } from './dom';
import type { Player } from './controls';

const KEYS: [string, string][] = [
  ['← →', 'a step back, a step on (with Shift: ten)'],
  ['Space', 'play, pause'],
  ['Home, End', 'first step, last step'],
  [', .', 'a step back, a step on, also while the cursor is in the matrix'],
  ['Tab', 'to the next pane; arrow keys then move the cursor in the matrix, or turn the robot'],
  ['Enter', 'in the matrix: choose the entry under the cursor'],
  ['?', 'this list'],
];

/** Listen to keys. */
export function listen(player: Player): void {
  const acts: Record<string, (shift: boolean) => void> = {
    ArrowLeft: (shift) => player.move(shift ? -10 : -1),
    ArrowRight: (shift) => player.move(shift ? 10 : 1),
    ',': () => player.move(-1),
    '.': () => player.move(1),
    Home: () => player.move(-Infinity),
    End: () => player.move(Infinity),
    ' ': () => player.toggle(),
    '?': help,
  };
  addEventListener('keydown', (event) => {
    const target = event.target as HTMLElement;
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (target.closest('input:not([type=range]), textarea, select, dialog, [role=tab], pre')) return;
    if (event.key === ' ' && target.closest('button, summary, a')) return;
    event.preventDefault();
    act(event.shiftKey);
  });
}

/** Show which keys there are. */
export function help(): void {
  const dialog = element('dialog', { class: 'keys', 'aria-label': 'Keys' });
  dialog.append(
    table(['key', 'what it does'], KEYS),
    element('p', {}, element('a', { href: 'licences.txt' }, 'Licences of what this page is made of')),
    button('Close', () => dialog.close(), { class: 'close' }));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
