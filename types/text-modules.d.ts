/** Lua scripts and SQL statements are files of their own, imported as text. */
declare module '*.lua' {
  const text: string;
  export default text;
}

declare module '*.sql' {
  const text: string;
  export default text;
}
