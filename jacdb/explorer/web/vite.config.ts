import { defineConfig } from 'vite';

// Addresses are relative: a page may lie in any folder of a host.
export default defineConfig({
  base: './',
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
