/** Whether a text is one expression of SQL: it closes no bracket that it did not open, and ends no statement. */

const TOKEN = new RegExp([
  /[eE]'(?:[^'\\]|''|\\[\s\S])*'/, // the backslash escapes here alone
  /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/, // a name may hold dollars: they begin no text
  /\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[\s\S]*?\$\1\$/,
  /'(?:[^']|'')*'/, /"(?:[^"]|"")*"/, /--[^\n]*/, /\/\*[\s\S]*?\*\//, /[\s\S]/,
].map(({ source }) => source).join('|'), 'g');

export function isOneExpression(text: string): boolean {
  let depth = 0;
  for (const [token] of text.matchAll(TOKEN)) {
    if ([';', "'", '"', '$'].includes(token)) return false;
    if ('([{'.includes(token)) depth++;
    if (')]}'.includes(token) && --depth < 0) return false;
  }
  return depth === 0 && text.trim() !== '';
}
