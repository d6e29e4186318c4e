/** Addresses and downloads of the page's own files. */

export type Progress = (loaded: number, total: number) => void;

/** Return the address of a file below a base: each part of the path is percent-encoded, so that names may hold anything. */
export function address(path: string, base = ''): string {
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  return new URL(base + encoded, document.baseURI).href;
}

/** Return the bytes of a file; say in words what went wrong. */
export async function fetchBytes(url: string, progress?: Progress): Promise<Uint8Array> {
  const response = await answer(url);
  if (!progress || !response.body) return new Uint8Array(await response.arrayBuffer());
  const total = Number(response.headers.get('content-length') ?? 0);
  const reader = response.body.getReader();
  const pieces: Uint8Array[] = [];
  let loaded = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    pieces.push(piece.value);
    loaded += piece.value.length;
    progress(loaded, total);
  }
  const whole = new Uint8Array(loaded);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Return a JSON file, parsed. */
export async function fetchJson<T>(url: string): Promise<T> {
  return (await answer(url)).json() as Promise<T>;
}

async function answer(url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch {
    throw new Error(`${shown(url)} can't be fetched: is the server of this page still running?`);
  }
  if (response.ok) return response;
  throw new Error(await reason(response) || `${shown(url)} can't be fetched: the server answers ${response.status}`);
}

/** Return why there is no file, as the server of jacdb says it in a line of text; others answer with a page. */
export async function reason(response: Response): Promise<string> {
  const isText = response.headers.get('content-type')?.startsWith('text/plain');
  return isText ? (await response.text()).trim() : '';
}

/** Return an address as people read it. */
function shown(url: string): string {
  const path = url.replace(new URL('.', document.baseURI).href, '');
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
