/** Whether a text is one expression of SQL: it closes no bracket that it did not open, and ends no statement. */

const TOKEN = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|[\s\S]/g;

export function isOneExpression(text: string): boolean {
  let depth = 0;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === ';' || token === "'" || token === '"') return false;
    if ('([{'.includes(token)) depth++;
    if (')]}'.includes(token) && --depth < 0) return false;
  }
  return depth === 0 && text.trim() !== '' && !/\$\$|\$\w*\$/.test(text);
}
