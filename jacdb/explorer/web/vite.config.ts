import { defineConfig } from 'vite';
import { licences } from './licences';

const { ofPage, ofWorkers } = licences('licences');

// Addresses are relative: a page may lie in any folder of a host.
export default defineConfig({
  base: './',
  plugins: [ofPage],
  build: {
    outDir: '../page',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
  },
  worker: { format: 'es', plugins: () => [ofWorkers] },
});
