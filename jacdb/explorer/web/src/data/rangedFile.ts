/** A file on a server, read by byte ranges. */
import { reason } from './files';

export interface RangedFile {
  byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

/** Return a file whose pieces are fetched by Range; a server that knows no Range is asked once, and its answer is kept. */
export function rangedFile(url: string, byteLength: number): RangedFile {
  let whole: Promise<ArrayBuffer> | null = null;
  return {
    byteLength,
    async slice(start, end = byteLength) {
      if (whole) return (await whole).slice(start, end);
      const response = await fetch(url, { headers: { Range: `bytes=${start}-${end - 1}` } });
      if (response.status === 206) return response.arrayBuffer();
      if (!response.ok) throw new Error(await reason(response) || `${url} can't be read: the server answers ${response.status}`);
      whole = response.arrayBuffer();
      return (await whole).slice(start, end);
    },
  };
}
