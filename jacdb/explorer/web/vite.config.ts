import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

// Addresses are relative: a page may lie in any folder of a host.
export default defineConfig({
  base: './',
  plugins: [licences()],
  build: {
    outDir: '../page',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
  },
  worker: { format: 'es' },
});

/** Write the licences of all packages that the page may be made of, with their texts. */
function licences(): Plugin {
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const found = new Map<string, string>();
      const own = JSON.parse(readFileSync('package.json', 'utf8'));
      const visit = (name: string) => {
        const folder = join('node_modules', name);
        if (found.has(name) || !existsSync(folder) || name.startsWith('@types/')) return;
        const { version, license, dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
        const texts = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file));
        const written = texts.map((file) => readFileSync(join(folder, file), 'utf8').trim());
        found.set(name, [`${name} ${version}: ${license ?? 'see its text'}`, ...written].join('\n\n'));
        Object.keys(dependencies ?? {}).forEach(visit);
      };
      Object.keys(own.dependencies).forEach(visit);
      const line = `\n\n${'-'.repeat(80)}\n\n`;
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: `${[...found.values()].join(line)}\n` });
    },
  };
}
