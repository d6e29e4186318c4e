/** Dark and light: as the system says, or as the button says. */
import { palette, type Palette } from '../drawing/palette';
import { button } from './dom';

const KEY = 'jacdb-theme';

/** Return a button that changes the theme; `changed` is called now and at each change. */
export function themeButton(changed: (colours: Palette) => void): HTMLButtonElement {
  const system = matchMedia('(prefers-color-scheme: dark)');
  let chosen = read();
  const isDark = () => (chosen ? chosen === 'dark' : system.matches);
  const apply = () => {
    document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
    made.setAttribute('aria-pressed', String(isDark()));
    changed(palette(isDark()));
  };
  const made = button('Dark', () => {
    chosen = isDark() ? 'light' : 'dark';
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // not kept where a browser forbids it
    }
    apply();
  }, { title: 'Dark or light' });
  system.addEventListener('change', apply);
  apply();
  return made;
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
