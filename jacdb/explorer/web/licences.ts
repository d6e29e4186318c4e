/** Writes licences.txt of the page: names, versions and licences of the packages whose code is in it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

const PACKAGE = /^(.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+))[\\/]/;
const TEXT = /^(licen[cs]e|notice|copying|copyrightnotice)/i;

/** Return a plugin for the page and one for its workers, which are built apart: the page's writes down both. */
export function licences(kept: string): { ofPage: Plugin; ofWorkers: Plugin } {
  const folders = new Map<string, string>();
  const note = (modules: Iterable<string>) => {
    for (const id of modules) {
      const [, folder, name] = PACKAGE.exec(id.replace(/^\0/, '')) ?? [];
      if (folder) folders.set(name.replaceAll('\\', '/'), folder);
    }
  };
  return {
    ofWorkers: { name: 'licences-of-workers', generateBundle() { note(this.getModuleIds()); } },
    ofPage: {
      name: 'licences',
      generateBundle() {
        note(this.getModuleIds());
        const parts = [...folders].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, folder]) => part(name, folder, kept));
        this.emitFile({ type: 'asset', fileName: 'licences.txt', source: parts.join(`\n${'-'.repeat(78)}\n\n`) });
      },
    },
  };
}

/** Return what is to be said of a package. */
function part(name: string, folder: string, kept: string): string {
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const own = readdirSync(folder).filter((file) => TEXT.test(file)).sort().map((file) => join(folder, file));
  const ours = join(kept, `${name.replaceAll('/', '+')}.txt`); // for a package that has no such file
  const files = own.length || !existsSync(ours) ? own : [ours];
  if (!files.length) throw new Error(`${name} ${version} has no file of its licence: keep its text in ${ours}`);
  return [`${name} ${version} (${license})\n`, ...files.map((file) => readFileSync(file, 'utf8').trim() + '\n')].join('\n');
}
