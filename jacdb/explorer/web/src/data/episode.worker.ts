/** Reads one episode of a Parquet part by byte ranges, off the page's thread. */
import { parquetMetadataAsync, parquetReadObjects, type FileMetaData } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { flatten, type EpisodeAnswer, type EpisodeRequest } from './episodeRows';
import { rangedFile, type RangedFile } from './rangedFile';

const COLUMNS = [
  'state', 'action', 'reward', 'j_state', 'j_action', 'pattern_id', 'n_zero_state', 'n_zero_action', 'contacts', 'active',
  'finite', 'method',
];
const FOOTER = 64 * 1024; // bytes that are asked for first; a longer footer is fetched by a second range

const files = new Map<string, Promise<{ file: RangedFile; metadata: FileMetaData }>>();

self.onmessage = async ({ data }: MessageEvent<EpisodeRequest>) => {
  try {
    answer(await read(data), data);
  } catch (error) {
    files.delete(data.url);
    self.postMessage({ id: data.id, error: error instanceof Error ? error.message : String(error) } satisfies EpisodeAnswer);
  }
};

async function read(request: EpisodeRequest) {
  const { url, bytes, rowStart, rowEnd } = request;
  let opened = files.get(url);
  if (!opened) {
    const file = rangedFile(url, bytes);
    opened = parquetMetadataAsync(file, { initialFetchSize: FOOTER }).then((metadata) => ({ file, metadata }));
    files.set(url, opened);
  }
  const { file, metadata } = await opened;
  const there = new Set(metadata.schema.map((field) => field.name));
  const columns = COLUMNS.filter((name) => there.has(name));
  const rows = await parquetReadObjects({
    file, metadata, columns, rowStart, rowEnd, compressors, useOffsetIndex: true,
  });
  return flatten(rows, request, there.has('j_state') && there.has('j_action'));
}

function answer(rows: Awaited<ReturnType<typeof read>>, request: EpisodeRequest): void {
  const moved = [rows.state, rows.action, rows.reward, rows.pattern, rows.zeroState, rows.zeroAction, rows.finite, rows.exact];
  const transfer = [...moved, ...(rows.values ? [rows.values] : [])].map((array) => array.buffer as ArrayBuffer);
  self.postMessage({ id: request.id, rows } satisfies EpisodeAnswer, { transfer });
}
